//! The real router, asked from outside, over a store that does what a test says.

mod bulk;
mod client;
mod fake;
mod gate;
mod orders;
mod pages;
mod reading;
mod served;
mod submit;
