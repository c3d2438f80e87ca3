//! Intel's tiles. Their intrinsics are not stable in Rust; the instructions in `asm!` are.

#![expect(unsafe_code, reason = "there is no safe way to the tile instructions (decision 0005)")]

use std::{
    arch::{asm, x86_64::__cpuid_count},
    marker::PhantomData,
    sync::OnceLock,
};

use super::{AHEAD, BLOCK, Block, Parts, SIDE, Sums, TILE, TileUnit, WIDTH};

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
        let Block { parts, a, more, b, continues, ahead, place } = block;
        let count = parts.count();
        let steps = a.len() / (count * TILE);
        let is_long_enough = |tiles: &[f32]| tiles.len() >= steps * count * TILE;
        assert!(steps > 0 && b.len() >= steps * count * SIDE * WIDTH && more.is_none_or(is_long_enough));
        assert!(sums.len() >= BLOCK * BLOCK);
        // Where there is nothing to fetch, a line that is there is fetched again and again.
        let (ahead, next) = if ahead.is_empty() { (b, 0) } else { (ahead, count * AHEAD * size_of::<f32>()) };
        let (place, apart) =
            place.map_or((b.as_ptr(), 0), |(place, stride)| (&raw const *place, stride * size_of::<f32>()));
        let (a, b, ahead, sums) = (a.as_ptr(), b.as_ptr(), ahead.as_ptr(), sums.as_mut_ptr());
        let work = Work { a, b, ahead, next, place, apart, steps, sums, continues: continues.into() };
        // SAFETY: `self` is proof that this thread has its tiles in use. Of `a` and `more`, `steps` tiles of 1 KiB of each part are read; of `b`,
        // `steps · 16` rows of 128 bytes of each part, for which the assertion leaves room; `sums` has room for four tiles. What is fetched ahead may lie anywhere.
        unsafe {
            match (parts, more) {
                (Parts::One, Some(more)) => two_by_two(work, more.as_ptr()),
                (Parts::One, None) => one_by_two(work),
                (Parts::Three, Some(more)) => two_by_two_in_parts(work, more.as_ptr()),
                (Parts::Three, None) => one_by_two_in_parts(work),
            }
        }
    }
}

/// Where the sides of a product, what is fetched ahead, and the sums lie.
struct Work {
    a: *const f32,
    b: *const f32,
    ahead: *const f32,
    /// Bytes that are fetched ahead in a step, or none.
    next: usize,
    place: *const f32,
    /// Bytes from a row of the place to the next, or none.
    apart: usize,
    steps: usize,
    sums: *mut f32,
    /// 1 if the sums continue, or 0.
    continues: usize,
}

/// Bytes from a row of a tile to the next: of the left side, and of the right side and the sums.
const ROW: usize = SIDE * size_of::<f32>();
const WIDE_ROW: usize = BLOCK * size_of::<f32>();

/// # Safety
///
/// The thread has its tiles in use; there are `work.steps` tiles at `work.a` and `more`, twice as many at `work.b`, and room for four at `work.sums`.
#[inline(always)]
unsafe fn two_by_two(work: Work, more: *const f32) {
    // SAFETY: as the caller promises.
    unsafe {
        asm!(
            "test {continues}, {continues}",
            "jz 3f",
            "tileloadd tmm0, [{sums} + {wide}*1]",
            "tileloadd tmm1, [{sums} + {wide}*1 + 64]",
            "tileloadd tmm2, [{sums} + {wide}*1 + 2048]",
            "tileloadd tmm3, [{sums} + {wide}*1 + 2112]",
            "jmp 2f",
            "3:",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "tileloaddt1 tmm4, [{a} + {row}*1]",
            "tileloadd tmm6, [{b} + {wide}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "prefetcht1 [{ahead}]",
            "prefetcht1 [{ahead} + 64]",
            "prefetchw [{place}]",
            "prefetchw [{place} + 64]",
            "tileloadd tmm7, [{b} + {wide}*1 + 64]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "prefetchw [{place} + {apart}]",
            "prefetchw [{place} + {apart} + 64]",
            "tileloaddt1 tmm5, [{more} + {row}*1]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {a}, {tile}",
            "add {more}, {tile}",
            "add {b}, 2*{tile}",
            "add {ahead}, {next}",
            "lea {place}, [{place} + 2*{apart}]",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{sums} + {wide}*1], tmm0",
            "tilestored [{sums} + {wide}*1 + 64], tmm1",
            "tilestored [{sums} + {wide}*1 + 2048], tmm2",
            "tilestored [{sums} + {wide}*1 + 2112], tmm3",
            a = inout(reg) work.a => _,
            more = inout(reg) more => _,
            b = inout(reg) work.b => _,
            ahead = inout(reg) work.ahead => _,
            place = inout(reg) work.place => _,
            apart = in(reg) work.apart,
            steps = inout(reg) work.steps => _,
            row = in(reg) ROW,
            wide = in(reg) WIDE_ROW,
            next = in(reg) work.next,
            tile = const TILE * size_of::<f32>(),
            sums = in(reg) work.sums,
            continues = in(reg) work.continues,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

/// As [`two_by_two`], of one row of tiles on the left.
///
/// # Safety
///
/// As of [`two_by_two`], without `more`.
#[inline(always)]
unsafe fn one_by_two(work: Work) {
    // SAFETY: as the caller promises.
    unsafe {
        asm!(
            "test {continues}, {continues}",
            "jz 3f",
            "tileloadd tmm0, [{sums} + {wide}*1]",
            "tileloadd tmm1, [{sums} + {wide}*1 + 64]",
            "jmp 2f",
            "3:",
            "tilezero tmm0",
            "tilezero tmm1",
            "2:",
            "tileloaddt1 tmm4, [{a} + {row}*1]",
            "tileloadd tmm6, [{b} + {wide}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "prefetcht1 [{ahead}]",
            "prefetcht1 [{ahead} + 64]",
            "prefetchw [{place}]",
            "prefetchw [{place} + 64]",
            "tileloadd tmm7, [{b} + {wide}*1 + 64]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "prefetchw [{place} + {apart}]",
            "prefetchw [{place} + {apart} + 64]",
            "add {a}, {tile}",
            "add {b}, 2*{tile}",
            "add {ahead}, {next}",
            "lea {place}, [{place} + 2*{apart}]",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{sums} + {wide}*1], tmm0",
            "tilestored [{sums} + {wide}*1 + 64], tmm1",
            a = inout(reg) work.a => _,
            b = inout(reg) work.b => _,
            ahead = inout(reg) work.ahead => _,
            place = inout(reg) work.place => _,
            apart = in(reg) work.apart,
            steps = inout(reg) work.steps => _,
            row = in(reg) ROW,
            wide = in(reg) WIDE_ROW,
            next = in(reg) work.next,
            tile = const TILE * size_of::<f32>(),
            sums = in(reg) work.sums,
            continues = in(reg) work.continues,
            out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

/// As [`two_by_two`], of numbers in three parts: those products of a part of the left side and one of the right that count, in their order.
///
/// # Safety
///
/// The thread has its tiles in use; there are `work.steps` tiles at `work.a` and `more`, twice as many at `work.b`, and room for four at `work.sums`.
#[inline(always)]
unsafe fn two_by_two_in_parts(work: Work, more: *const f32) {
    // SAFETY: as the caller promises.
    unsafe {
        asm!(
            "test {continues}, {continues}",
            "jz 3f",
            "tileloadd tmm0, [{sums} + {wide}*1]",
            "tileloadd tmm1, [{sums} + {wide}*1 + 64]",
            "tileloadd tmm2, [{sums} + {wide}*1 + 2048]",
            "tileloadd tmm3, [{sums} + {wide}*1 + 2112]",
            "jmp 2f",
            "3:",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "tileloaddt1 tmm4, [{a} + {row}*1]",
            "tileloadd tmm6, [{b} + {wide}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{b} + {wide}*1 + 64]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloaddt1 tmm5, [{more} + {row}*1]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "prefetcht1 [{ahead}]",
            "prefetcht1 [{ahead} + 64]",
            "tileloadd tmm6, [{b} + {wide}*1 + 2048]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{b} + {wide}*1 + 2112]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "prefetchw [{place}]",
            "prefetchw [{place} + 64]",
            "tileloadd tmm6, [{b} + {wide}*1 + 4096]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{b} + {wide}*1 + 4160]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "prefetchw [{place} + {apart}]",
            "prefetchw [{place} + {apart} + 64]",
            "tileloaddt1 tmm4, [{a} + {row}*1 + 1024]",
            "tileloadd tmm6, [{b} + {wide}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{b} + {wide}*1 + 64]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloaddt1 tmm5, [{more} + {row}*1 + 1024]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "prefetcht1 [{ahead} + 128]",
            "prefetcht1 [{ahead} + 192]",
            "tileloadd tmm6, [{b} + {wide}*1 + 2048]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{b} + {wide}*1 + 2112]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "prefetcht1 [{ahead} + 256]",
            "prefetcht1 [{ahead} + 320]",
            "tileloaddt1 tmm4, [{a} + {row}*1 + 2048]",
            "tileloadd tmm6, [{b} + {wide}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{b} + {wide}*1 + 64]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloaddt1 tmm5, [{more} + {row}*1 + 2048]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {a}, 3*{tile}",
            "add {more}, 3*{tile}",
            "add {b}, 6*{tile}",
            "add {ahead}, {next}",
            "lea {place}, [{place} + 2*{apart}]",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{sums} + {wide}*1], tmm0",
            "tilestored [{sums} + {wide}*1 + 64], tmm1",
            "tilestored [{sums} + {wide}*1 + 2048], tmm2",
            "tilestored [{sums} + {wide}*1 + 2112], tmm3",
            a = inout(reg) work.a => _,
            more = inout(reg) more => _,
            b = inout(reg) work.b => _,
            ahead = inout(reg) work.ahead => _,
            place = inout(reg) work.place => _,
            apart = in(reg) work.apart,
            steps = inout(reg) work.steps => _,
            row = in(reg) ROW,
            wide = in(reg) WIDE_ROW,
            next = in(reg) work.next,
            tile = const TILE * size_of::<f32>(),
            sums = in(reg) work.sums,
            continues = in(reg) work.continues,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

/// As [`two_by_two_in_parts`], of one row of tiles on the left.
///
/// # Safety
///
/// As of [`two_by_two`], without `more`.
#[inline(always)]
unsafe fn one_by_two_in_parts(work: Work) {
    // SAFETY: as the caller promises.
    unsafe {
        asm!(
            "test {continues}, {continues}",
            "jz 3f",
            "tileloadd tmm0, [{sums} + {wide}*1]",
            "tileloadd tmm1, [{sums} + {wide}*1 + 64]",
            "jmp 2f",
            "3:",
            "tilezero tmm0",
            "tilezero tmm1",
            "2:",
            "tileloaddt1 tmm4, [{a} + {row}*1]",
            "tileloadd tmm6, [{b} + {wide}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{b} + {wide}*1 + 64]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "prefetcht1 [{ahead}]",
            "prefetcht1 [{ahead} + 64]",
            "tileloadd tmm6, [{b} + {wide}*1 + 2048]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{b} + {wide}*1 + 2112]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "prefetchw [{place}]",
            "prefetchw [{place} + 64]",
            "tileloadd tmm6, [{b} + {wide}*1 + 4096]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{b} + {wide}*1 + 4160]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "prefetchw [{place} + {apart}]",
            "prefetchw [{place} + {apart} + 64]",
            "tileloaddt1 tmm4, [{a} + {row}*1 + 1024]",
            "tileloadd tmm6, [{b} + {wide}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{b} + {wide}*1 + 64]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "prefetcht1 [{ahead} + 128]",
            "prefetcht1 [{ahead} + 192]",
            "tileloadd tmm6, [{b} + {wide}*1 + 2048]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{b} + {wide}*1 + 2112]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "prefetcht1 [{ahead} + 256]",
            "prefetcht1 [{ahead} + 320]",
            "tileloaddt1 tmm4, [{a} + {row}*1 + 2048]",
            "tileloadd tmm6, [{b} + {wide}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{b} + {wide}*1 + 64]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "add {a}, 3*{tile}",
            "add {b}, 6*{tile}",
            "add {ahead}, {next}",
            "lea {place}, [{place} + 2*{apart}]",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{sums} + {wide}*1], tmm0",
            "tilestored [{sums} + {wide}*1 + 64], tmm1",
            a = inout(reg) work.a => _,
            b = inout(reg) work.b => _,
            ahead = inout(reg) work.ahead => _,
            place = inout(reg) work.place => _,
            apart = in(reg) work.apart,
            steps = inout(reg) work.steps => _,
            row = in(reg) ROW,
            wide = in(reg) WIDE_ROW,
            next = in(reg) work.next,
            tile = const TILE * size_of::<f32>(),
            sums = in(reg) work.sums,
            continues = in(reg) work.continues,
            out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}
