//! Commands as handlers, with real processes.

#[cfg(test)]
mod ground;

#[cfg(test)]
mod outcomes;

#[cfg(test)]
mod groups;

#[cfg(test)]
mod deaths;

#[cfg(test)]
mod limits;

#[cfg(test)]
mod starting;

#[cfg(test)]
mod alone;

#[cfg(test)]
mod company;

#[cfg(test)]
mod folder;

#[cfg(test)]
mod survivors;
