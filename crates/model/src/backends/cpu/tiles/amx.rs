//! Intel's tiles. Their intrinsics are not stable in Rust; the instructions in `asm!` are.

#![expect(unsafe_code, reason = "there is no safe way to the tile instructions (decision 0005)")]

use std::{
    arch::{asm, x86_64::__cpuid_count},
    marker::PhantomData,
    sync::OnceLock,
};

use super::{BLOCK, SIDE, Sums, TILE, TileUnit};

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
    fn multiply(&self, a: [&[f32]; 2], b: [&[f32]; 2], stride: usize, sums: &mut Sums) {
        /// Bytes from a row of a tile to the next in `a`, and of `sums`.
        const ROW: usize = SIDE * size_of::<f32>();
        const ROW_OF_SUMS: usize = BLOCK * size_of::<f32>();
        let steps = a[0].len() / TILE;
        let needed = (steps * SIDE).saturating_sub(1) * stride + SIDE;
        assert!(steps > 0 && a[1].len() >= steps * TILE && b[0].len() >= needed && b[1].len() >= needed);
        // SAFETY: `self` is proof that this thread has its tiles in use. Of `a`, `steps` tiles of 1 KiB are read; of `b`, `steps · 16` rows of
        // 64 bytes, `stride` numbers apart, for which the assertion leaves room; `sums` is written as a whole.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "tileloadd tmm4, [{a0} + {row}*1]",
                "tileloadd tmm6, [{b0} + {stride}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b1} + {stride}*1]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{a1} + {row}*1]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a0}, {tile}",
                "add {a1}, {tile}",
                "add {b0}, {next}",
                "add {b1}, {next}",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{sums} + {row_of_sums}*1], tmm0",
                "tilestored [{sums} + {row_of_sums}*1 + 64], tmm1",
                "tilestored [{sums} + {row_of_sums}*1 + 2048], tmm2",
                "tilestored [{sums} + {row_of_sums}*1 + 2112], tmm3",
                a0 = inout(reg) a[0].as_ptr() => _,
                a1 = inout(reg) a[1].as_ptr() => _,
                b0 = inout(reg) b[0].as_ptr() => _,
                b1 = inout(reg) b[1].as_ptr() => _,
                steps = inout(reg) steps => _,
                row = in(reg) ROW,
                stride = in(reg) stride * size_of::<f32>(),
                next = in(reg) SIDE * stride * size_of::<f32>(),
                tile = const TILE * size_of::<f32>(),
                sums = in(reg) sums.0.as_mut_ptr(),
                row_of_sums = in(reg) ROW_OF_SUMS,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }
}
