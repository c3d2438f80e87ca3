//! Products of tiles in `asm!`.

#![expect(unsafe_code, reason = "there is no safe way to the tile instructions (decision 0005)")]

use std::arch::asm;

use super::{BLOCK, SIDE, TILE};

/// Where the sides of a product, what is fetched ahead, and the sums lie.
#[derive(Clone, Copy)]
pub(super) struct Work {
    pub(super) a: *const f32,
    pub(super) b: *const f32,
    pub(super) ahead: *const f32,
    /// Bytes that are fetched ahead in a step, or none.
    pub(super) next: usize,
    pub(super) place: *const f32,
    /// Bytes from a row of the place to the next, or none.
    pub(super) apart: usize,
    pub(super) steps: usize,
    pub(super) sums: *mut f32,
    /// 1 if the sums continue, or 0.
    pub(super) continues: usize,
}

/// Bytes from a row of a tile to the next: of the left side, and of the right side and the sums.
const ROW: usize = SIDE * size_of::<f32>();
const WIDE_ROW: usize = BLOCK * size_of::<f32>();

/// A sweep over the inner dimension: the sums are loaded, or zero; in each step tiles of both sides are multiplied, and what comes soon is fetched; the
/// sums are stored. `more` is a pointer to a second row of tiles on the left, if there is one.
macro_rules! sweep {
    ($work:ident, load: [$($load:literal),*], zero: [$($zero:literal),*], step: [$($step:literal),* $(,)?], store: [$($store:literal),*] $(, $more:ident)?) => {
        asm!(
            "test {continues}, {continues}",
            "jz 3f",
            $($load,)*
            "jmp 2f",
            "3:",
            $($zero,)*
            "2:",
            $($step,)*
            "add {ahead}, {next}",
            "lea {place}, [{place} + 2*{apart}]",
            "dec {steps}",
            "jnz 2b",
            $($store,)*
            a = inout(reg) $work.a => _,
            $($more = inout(reg) $more => _,)?
            b = inout(reg) $work.b => _,
            ahead = inout(reg) $work.ahead => _,
            place = inout(reg) $work.place => _,
            apart = in(reg) $work.apart,
            steps = inout(reg) $work.steps => _,
            row = in(reg) ROW,
            wide = in(reg) WIDE_ROW,
            next = in(reg) $work.next,
            tile = const TILE * size_of::<f32>(),
            sums = in(reg) $work.sums,
            continues = in(reg) $work.continues,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}

/// # Safety
///
/// The thread has its tiles in use; there are `work.steps` tiles at `work.a` and `more`, twice as many at `work.b`, and room for four at `work.sums`.
#[inline(always)]
pub(super) unsafe fn two_by_two(work: Work, more: *const f32) {
    // SAFETY: as the caller promises.
    unsafe {
        sweep!(
            work,
            load: [
                "tileloadd tmm0, [{sums} + {wide}*1]",
                "tileloadd tmm1, [{sums} + {wide}*1 + 64]",
                "tileloadd tmm2, [{sums} + {wide}*1 + 2048]",
                "tileloadd tmm3, [{sums} + {wide}*1 + 2112]"
            ],
            zero: ["tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3"],
            step: [
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
            ],
            store: [
                "tilestored [{sums} + {wide}*1], tmm0",
                "tilestored [{sums} + {wide}*1 + 64], tmm1",
                "tilestored [{sums} + {wide}*1 + 2048], tmm2",
                "tilestored [{sums} + {wide}*1 + 2112], tmm3"
            ], more
        );
    }
}

/// As [`two_by_two`], of one row of tiles on the left.
///
/// # Safety
///
/// As of [`two_by_two`], without `more`.
#[inline(always)]
pub(super) unsafe fn one_by_two(work: Work) {
    // SAFETY: as the caller promises.
    unsafe {
        sweep!(
            work,
            load: [
                "tileloadd tmm0, [{sums} + {wide}*1]",
                "tileloadd tmm1, [{sums} + {wide}*1 + 64]"
            ],
            zero: ["tilezero tmm0", "tilezero tmm1"],
            step: [
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
            ],
            store: [
                "tilestored [{sums} + {wide}*1], tmm0",
                "tilestored [{sums} + {wide}*1 + 64], tmm1"
            ]
        );
    }
}
