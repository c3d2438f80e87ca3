//! Intel's tiles. Their intrinsics are not stable in Rust; the instructions in `asm!` are.

#![expect(unsafe_code, reason = "there is no safe way to the tile instructions (decision 0005)")]

use std::{
    arch::{asm, x86_64::__cpuid_count},
    marker::PhantomData,
    sync::OnceLock,
};

use super::{
    AHEAD, BLOCK, Block, SIDE, Sums, TILE, TileUnit, WIDTH,
    kernels::{Work, one_by_two, two_by_two},
};

/// Rows of all eight tiles, and bytes of a row: the largest that there are.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes: [u16; 16],
    rows: [u8; 16],
}

static SHAPES: Shapes = Shapes {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// Whether the processor has tiles with products of bfloat16, and the system lets this process use them. The system is asked once.
pub(super) fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| has_tiles() && is_permitted())
}

fn has_tiles() -> bool {
    const AMX_BF16: u32 = 1 << 22;
    const AMX_TILE: u32 = 1 << 24;
    if __cpuid_count(0, 0).eax < 7 {
        return false;
    }
    __cpuid_count(7, 0).edx & (AMX_BF16 | AMX_TILE) == AMX_BF16 | AMX_TILE
}

/// Linux saves tiles only for processes that ask for it, as their state takes 8 KiB a thread. It refuses where it cannot save them.
#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: the call takes two numbers and changes what the kernel saves of this process' threads.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// The calling thread's tiles, in use until this is dropped.
#[derive(Debug)]
pub(super) struct Tiles {
    /// They are a thread's own.
    of_this_thread: PhantomData<*const ()>,
}

impl Tiles {
    /// Takes the tiles of this thread into use.
    ///
    /// # Panics
    ///
    /// If the processor has none, which no caller asks for.
    pub(super) fn load() -> Self {
        assert!(is_available(), "tiles are used where they are");
        // SAFETY: the processor has tiles and the system permits them; the shapes are valid and live through the instruction, which
        // writes the tiles alone.
        unsafe {
            asm!(
                "ldtilecfg [{shapes}]",
                shapes = in(reg) &raw const SHAPES,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, readonly, preserves_flags),
            );
        }
        Self { of_this_thread: PhantomData }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: `self` is proof that this thread has its tiles in use.
        unsafe {
            asm!(
                "tilerelease",
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, nomem, preserves_flags),
            );
        }
    }
}

impl TileUnit for Tiles {
    fn multiply(&self, block: Block<'_>, sums: &mut Sums) {
        let Block { a, more, b, continues, ahead, place } = block;
        let steps = a.len() / TILE;
        let is_long_enough = |tiles: &[f32]| tiles.len() >= steps * TILE;
        assert!(steps > 0 && b.len() >= steps * SIDE * WIDTH && more.is_none_or(is_long_enough));
        assert!(sums.len() >= BLOCK * BLOCK);
        // Where there is nothing to fetch, a line that is there is fetched again and again.
        let (ahead, next) = if ahead.is_empty() { (b, 0) } else { (ahead, AHEAD * size_of::<f32>()) };
        let (place, apart) =
            place.map_or((b.as_ptr(), 0), |(place, stride)| (&raw const *place, stride * size_of::<f32>()));
        let (a, b, ahead, sums) = (a.as_ptr(), b.as_ptr(), ahead.as_ptr(), sums.as_mut_ptr());
        let work = Work { a, b, ahead, next, place, apart, steps, sums, continues: continues.into() };
        // SAFETY: `self` is proof that this thread has its tiles in use. Of `a` and `more`, `steps` tiles of 1 KiB are read; of `b`,
        // `steps · 16` rows of 128 bytes, for which the assertion leaves room; `sums` has room for four tiles. What is fetched ahead may lie anywhere.
        unsafe {
            match more {
                Some(more) => two_by_two(work, more.as_ptr()),
                None => one_by_two(work),
            }
        }
    }
}
