//! Bytes as an image: the header and the pixels agree, and a preprocessed image has its size.
#![no_main]

use headspan_images::{DecodeLimits, Preprocess, Resize, decode_rgb, probe_dimensions};

const MOST_PIXELS: u64 = 1 << 16;

fn image(bytes: &[u8]) {
    let probed = probe_dimensions(bytes);
    let Ok(image) = decode_rgb(bytes, &DecodeLimits { max_pixels: MOST_PIXELS }) else { return };
    assert_eq!(probed, Some((image.width, image.height)), "the header says otherwise");
    assert!(u64::from(image.width) * u64::from(image.height) <= MOST_PIXELS, "more pixels than allowed");
    let preprocess = Preprocess { size: 32, resize: Resize::default(), mean: [0.5; 3], std: [0.25; 3] };
    assert_eq!(preprocess.pixels(&image).len(), 3 * 32 * 32);
}

headspan_fuzz::target!(image);
