//! The suite for stores, over `Memory`.

use tower_auth::{
    store::Memory,
    test_util::{StoreSuite, TestClock},
};

#[tokio::test(flavor = "multi_thread")]
async fn memory_with_the_system_clock_passes() {
    StoreSuite::new(Memory::new()).run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_with_a_mock_clock_passes() {
    let clock = TestClock::new();
    let memory = Memory::with_clock(clock.clone());
    StoreSuite::new(memory.clone())
        .and(memory)
        .advance(move |duration| clock.advance(duration))
        .run()
        .await;
}
