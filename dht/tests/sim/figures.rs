//! What lookups took, in numbers.

use std::time::{Duration, Instant};

use shoal_dht::{Event, LookupKey, Outcome};

use crate::world::World;

/// One lookup.
pub(crate) struct Figure {
    /// Until the first peer was told, if one was.
    pub(crate) first: Option<Duration>,
    pub(crate) outcome: Outcome,
}

/// What became of the tasks that were begun at these times; all must be over.
pub(crate) fn collect(world: &World, begun: &[(LookupKey, Instant)]) -> Vec<Figure> {
    let figure = |(key, at): &(LookupKey, Instant)| {
        let mut first = None;
        for (_, when, event) in &world.said {
            match event {
                Event::Peers { key: of, .. } | Event::Item { key: of, .. } if of == key => {
                    first = first.or_else(|| Some(when.duration_since(*at)));
                }
                Event::Finished { key: of, outcome } if of == key => {
                    let outcome = outcome.clone();
                    return Figure { first, outcome };
                }
                _ => {}
            }
        }
        panic!("task {key:?} is not over");
    };
    begun.iter().map(figure).collect()
}

/// The value below which that share of them is, 0 to 1.
pub(crate) fn quantile<T: Ord + Copy>(values: impl IntoIterator<Item = T>, share: f64) -> T {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_unstable();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let at = (values.len() as f64 * share) as usize;
    values[at.min(values.len() - 1)]
}
