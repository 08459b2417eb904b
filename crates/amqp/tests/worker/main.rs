//! The worker's and the controller's side of a real broker.

#[cfg(test)]
mod doubt;
#[cfg(test)]
mod gates;
#[cfg(test)]
mod inboxes;
#[cfg(test)]
mod intake;
#[cfg(test)]
mod large;
#[cfg(test)]
mod life;
#[cfg(test)]
mod lost;
#[cfg(test)]
mod panics;
#[cfg(test)]
mod stand;
#[cfg(test)]
mod state;
#[cfg(test)]
mod trials;
