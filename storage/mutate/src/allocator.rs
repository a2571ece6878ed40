//! Counts what the running thread holds, so that a parser's appetite can be told.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

thread_local! {
    // Without a destructor and initialised at compile time: reading them never allocates.
    static HELD_BYTES: Cell<i64> = const { Cell::new(0) };
    static PEAK_BYTES: Cell<i64> = const { Cell::new(0) };
}

/// The system's allocator, counting per thread.
pub struct CountingAllocator;

fn count(change: i64) {
    let held = HELD_BYTES.get() + change;
    HELD_BYTES.set(held);
    PEAK_BYTES.set(PEAK_BYTES.get().max(held));
}

#[expect(unsafe_code, reason = "the trait is unsafe; every call goes to the system's allocator as it came")]
// SAFETY: every method hands its arguments to `System` and its answer back; counting touches no allocated memory.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size as i64 - layout.size() as i64);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

/// Calls `f`; also tells how many bytes more than before this thread held at most during the call. Always 0 unless
/// [`CountingAllocator`] is the global allocator.
pub fn peak_of<T>(f: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD_BYTES.get();
    PEAK_BYTES.set(before);
    let out = f();
    (out, usize::try_from(PEAK_BYTES.get() - before).unwrap_or(0))
}

/// Whether allocations of this thread are counted.
pub(crate) fn is_installed() -> bool {
    let ((), peak_bytes) = peak_of(|| drop(black_box(vec![0u8; black_box(100)])));
    peak_bytes >= 100
}
