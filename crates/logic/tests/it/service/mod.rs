//! The machine that judges one service: an example for each rule, then what must hold whatever comes in.

pub(crate) mod bench;
mod examples;
mod examples_marks;
mod explain;
mod going_on;
mod lines;
mod planned;
mod precedence;
mod properties;
mod restarts;
mod steps;
mod watch;
mod wild;
mod witness;
mod world;
mod year;
