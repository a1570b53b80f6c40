//! Concurrent reads of many items, with a limit.

use futures_util::stream::{self, StreamExt, TryStreamExt};

/// The most calls at the same time. ECS allows an account many more calls per second.
const AT_ONCE: usize = 8;

/// Reads all items in any order, with up to `AT_ONCE` calls at the same time. Returns the first
/// error.
///
/// The items are passed by value. With borrowed items, the compiler cannot prove that the future
/// may move between threads.
pub(super) async fn read_concurrently<I, T, E, F>(
    items: Vec<I>,
    read: impl FnMut(I) -> F,
) -> Result<Vec<T>, E>
where
    F: Future<Output = Result<T, E>>,
{
    stream::iter(items).map(read).buffer_unordered(AT_ONCE).try_collect().await
}
