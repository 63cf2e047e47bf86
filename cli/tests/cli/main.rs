//! The real binary, command by command: what it prints, what it leaves, how it ends.

mod client;
mod create;
mod demo;
mod dht;
mod disk;
mod files;
mod front;
mod logs;
mod magnets;
mod policy;
mod resume;
mod selected;
mod show;
mod siege;
mod support;
mod terminal;
mod tracker;
mod usage;
