//! The program from outside: exit codes, and what is said on which stream.

#[cfg(test)]
mod cases;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod site;
#[cfg(test)]
mod submit;
