//! The executor that programs start before anything else; so it has a process of its own here.

#[test]
fn tasks_run_on_the_executor_that_was_started() {
    shoal_peer::start_executor();
    let task = async { std::thread::current().name().map(str::to_owned) };
    let name = async_std::task::block_on(async_std::task::spawn(task));
    assert_eq!(name.as_deref(), Some("tasks"));
}
