//! How many threads run tasks. No BEP.
//!
//! A task's work is to read, to decide and to write; files and hashes have threads of their own
//! ([`disk`](crate::disk)). So a core for each of these threads would be idle most of the time, and
//! waking it costs more than what it does. Knows nothing of tasks.

use std::thread;

use async_global_executor::{GlobalExecutorConfig, init_with_config};

use crate::limits::EXECUTOR_THREADS_MAX;

/// Starts the executor of async-std with as many threads as an [`Engine`](crate::Engine) can use: a
/// half of the cores, or what `ASYNC_STD_THREAD_COUNT` says. For programs whose main work is an
/// engine, before anything else async; later, or without it, there is one thread a core.
pub fn start_executor() {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = executor_threads(cores);
    let config = GlobalExecutorConfig::default()
        .with_env_var("ASYNC_STD_THREAD_COUNT")
        .with_min_threads(threads)
        .with_max_threads(threads)
        .with_thread_name_fn(|| "tasks".to_owned());
    init_with_config(config);
}

fn executor_threads(cores: usize) -> usize {
    (cores / 2).clamp(1, EXECUTOR_THREADS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_cores_run_tasks() {
        let threads = [1, 2, 3, 4, 8, 64].map(executor_threads);
        assert_eq!(threads, [1, 1, 1, 2, 4, 4]);
    }
}
