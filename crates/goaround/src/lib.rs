//! Work that must not get lost while the software around it is broken.
//!
//! [`config`] says what is to be done, [`line`] is the pipeline that does it, [`app`] runs one as a
//! program, [`client`] talks to one that runs, and [`cli`] is all of that on a command line. What
//! the binary starts of itself for handlers is [`helper`].

pub mod config;

pub mod line;

pub mod app;

pub mod client;

pub mod cli;

pub mod helper;
