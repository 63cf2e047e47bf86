//! `shoal completions`: what a shell needs to complete our commands.

use crate::args::{Args, Completions};
use crate::error::Error;
use crate::render;

/// Prints the script.
///
/// # Errors
/// [`Error::Output`] alone.
pub(crate) fn run(args: &Completions) -> Result<(), Error> {
    // Into memory first: clap panics on a writer that fails.
    render::print(&Args::completions(args.shell)).map_err(Error::Output)
}
