//! Decoding and preprocessing of one image file to 224 × 224 pixels, one core: what feeds the device.

use divan::{Bencher, black_box, counter::ItemsCount};
use headspan_images::{DecodeLimits, Preprocess, Resize, decode_rgb};

const FILES: [&str; 4] = ["jpeg.jpg", "jpeg-progressive.jpg", "rgb.png", "webp-lossy.webp"];

fn main() {
    divan::main();
}

fn file(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/preprocess/");
    fs_err::read(format!("{folder}{name}")).expect("a file of the tests")
}

#[divan::bench(args = FILES)]
fn decode(bencher: Bencher<'_, '_>, name: &str) {
    let bytes = file(name);
    bencher.counter(ItemsCount::new(1_usize)).bench(|| decode_rgb(black_box(&bytes), &DecodeLimits::default()));
}

#[divan::bench(args = [(500, 375), (1024, 768), (4000, 3000)])]
fn resize_crop_and_normalise(bencher: Bencher<'_, '_>, (width, height): (u32, u32)) {
    let data = (0..3 * width * height).map(|index| (index * 7 % 251) as u8).collect();
    let image = headspan_images::RgbImage8 { width, height, data };
    let preprocess = Preprocess { size: 224, resize: Resize::default(), mean: [0.5; 3], std: [0.25; 3] };
    let mut out = vec![0.0; 3 * 224 * 224];
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| preprocess.apply(black_box(&image), &mut out));
}
