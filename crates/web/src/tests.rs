//! The real router, asked from outside, over a store that does what a test says.

mod breakers;
mod bulk;
mod client;
mod fake;
mod gate;
mod orders;
mod pages;
mod plans;
mod reading;
mod repair;
mod served;
mod stalled;
mod submit;
