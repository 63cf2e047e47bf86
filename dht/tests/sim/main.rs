//! Whole networks of nodes in virtual time: every run follows from one seed.
//!
//! A [`world::World`] owns nodes, the datagrams between them, with latency and loss, and the liars
//! of [`sybil`]. It takes one event after the other; nothing runs at the same time, so a seed
//! replays to the byte.

mod attack;
mod figures;
mod lookups;
mod storage;
mod sybil;
mod world;
mod young;
