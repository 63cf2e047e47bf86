//! Whole swarms of brains in a virtual world: every run follows from one seed.
//!
//! A [`world::World`] owns nodes (a `Swarm` each, with a model of the shell around it: [`shell`],
//! [`disk`]), the net of `shoal-simulation` between them, a [`tracker`] and the [`weather`]. It
//! takes one event after the other and checks:
//!
//! | | always true |
//! |---|---|
//! | S1 | no piece is marked that is not right |
//! | S2 | the disk holds the true bytes of every piece marked, and nothing else is served |
//! | S3 | what waits is bounded: lines, dials, connections |
//! | S4 | never more requests out than the peer takes |
//! | S5 | nothing is served that we lack, or that was not asked for, or to a choked peer |
//! | S6 | no honest peer is banned |
//! | M1 | metadata that is taken for true is true |
//! | W1 | nothing is asked for that was not chosen |
//! | L1 | once nothing breaks any more, everybody is complete in time |
//! | D1 | the same seed is the same run |
//! | F1 | every kind of fault struck |
//!
//! `just sim SEED` replays a run with a log, `just sim-soak` runs many: [`seeds`].

mod adversary;
mod content;
mod disk;
mod liar;
mod node;
mod outcome;
mod plan;
mod script;
mod seeds;
mod shell;
mod tracker;
mod watch;
mod weather;
mod world;

mod churn;
mod determinism;
mod efficiency;
mod fluid;
mod gossip;
mod hostile;
mod magnets;
mod operations;
mod poison;
mod selected;
