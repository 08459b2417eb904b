//! The delivery protocol, model-checked over the transition functions that the code runs.
//!
//! A [`state`] is one or two tickets on their way through two stages, two workers with one slot
//! each, a broker, a journal, the books and the controller that leads. One [`step`] is one durable
//! effect, so a crash can fall between any two. What a record does to the books is asked of
//! `domain::hearing`, who is dead and who has what of `domain::fleet`, where a ticket goes after
//! an attempt of `domain::settlement`, and what becomes of a suspect of `domain::verdict`: the
//! model has none of these rules itself.
//!
//! What goes wrong comes from a [budget](faults::Faults). The [`laws`] hold in every state.
//! A [mutant](mutant::Mutant) is the protocol with one rule left out; each breaks a law.
//!
//! Who is to blame when a process dies with several tickets in hand is a question of its own, and
//! has a small model of its own: [`trials`].
//!
//! Assumed, not checked: a confirmed message survives; every second delivery is flagged as such;
//! one controller writes the books; a worker that lives is heard within a lapse, except by a wrong
//! sentence; one that begins to consume has had its first beat confirmed before it read the
//! snapshot that it consumes under.

pub mod cast;
pub mod faults;
pub mod mutant;

pub mod state;
pub mod word;

pub mod step;

mod books;
mod broker;
mod leader;
mod worker;

pub mod laws;

pub mod protocol;

pub mod story;

pub mod trials;
