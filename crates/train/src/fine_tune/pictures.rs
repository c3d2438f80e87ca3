//! What a step sees: which images in which order, how they are cut out, and their captions.

use std::sync::{Mutex, PoisonError};

use burn::tensor::{Device, Tensor, TensorData};
use headspan_images::{Preprocess, RgbImage8};
use headspan_model::{ClipConfig, TokenBatch, Tokenizer};
use rand::{Rng, RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::{
    batch::{Batch, kept_patches},
    error::{Result, TrainError},
    fine_tune::{FineTuning, Labelled},
};

/// Images that are tried in the place of one that cannot be read.
const TRIES: u64 = 32;

/// Streams of random numbers: of the order, and of what is drawn for each image that is seen.
const ORDER: u64 = 1 << 63;

/// The images of a training, in an order of their own in each epoch.
pub(crate) struct Pictures<'a> {
    pub(crate) settings: &'a FineTuning,
    pub(crate) labelled: &'a Labelled,
    /// Images to learn from.
    pub(crate) images: &'a [u32],
    pub(crate) config: &'a ClipConfig,
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) order: &'a Order,
}

/// The order of the last epoch that was asked for.
#[derive(Debug, Default)]
pub(crate) struct Order(Mutex<Option<(u64, Vec<u32>)>>);

impl Order {
    /// The image at a place of the stream of all epochs.
    fn image(&self, seed: u64, images: &[u32], place: u64) -> u32 {
        let (epoch, within) = (place / images.len() as u64, place % images.len() as u64);
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let order = match held.take() {
            Some((of, order)) if of == epoch => order,
            _ => {
                let mut random = ChaCha8Rng::seed_from_u64(seed);
                random.set_stream(ORDER + epoch);
                let mut order = images.to_vec();
                order.shuffle(&mut random);
                order
            }
        };
        let image = order[within as usize];
        *held = Some((epoch, order));
        image
    }
}

/// An image that is seen, with its class and its caption.
struct Seen {
    pixels: Vec<f32>,
    class: u32,
    tokens: Vec<u32>,
}

impl Pictures<'_> {
    /// Images from a place of the stream on. What is drawn for each follows from the seed and its place, so that it is the same however the
    /// batch is parted.
    pub(crate) fn batch(&self, first: u64, count: usize, device: &Device) -> Result<Batch> {
        let seen: Vec<Seen> =
            (first..first + count as u64).into_par_iter().map(|place| self.seen(place)).collect::<Result<_>>()?;
        let side = self.config.vision.image_size;
        let values: Vec<f32> = seen.iter().flat_map(|one| &one.pixels).copied().collect();
        let patches = self.config.vision.grid() * self.config.vision.grid();
        let tokens: Vec<Vec<u32>> = seen.iter().map(|one| one.tokens.clone()).collect();
        Ok(Batch {
            pixels: Tensor::from_data(TensorData::new(values, [count, 3, side, side]), device),
            tokens: TokenBatch::new(&tokens),
            kept: kept_patches(self.settings.patch_dropout, self.settings.seed, first, count, patches, device),
            labels: Some(seen.iter().map(|one| one.class).collect()),
        })
    }

    fn seen(&self, place: u64) -> Result<Seen> {
        let settings = self.settings;
        let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
        random.set_stream(place);
        for further in 0..TRIES {
            // Another of the same epoch takes the place of an image that cannot be read.
            let images = self.images.len() as u64;
            let other = place / images * images + (place % images + further) % images;
            let image = self.order.image(settings.seed, self.images, other) as usize;
            let Some(picture) = self.labelled.picture(image) else { continue };
            let class = self.labelled.class(image);
            let template = &settings.templates[random.random_range(0..settings.templates.len())];
            let caption = template.replace("{}", &self.labelled.names()[class as usize]);
            let pixels = pixels(&cut(picture, settings, &mut random), &self.config.preprocessing());
            return Ok(Seen { pixels, class, tokens: self.tokenizer.encode(&caption)?.ids });
        }
        Err(TrainError::Unreadable { images: TRIES })
    }
}

/// Normalised pixels, `[3, side, side]`.
pub(crate) fn pixels(picture: &RgbImage8, preprocess: &Preprocess) -> Vec<f32> {
    let mut pixels = vec![0.0; 3 * preprocess.size * preprocess.size];
    preprocess.apply(picture, &mut pixels);
    pixels
}

/// A square of the picture, mirrored or not, as the settings want it.
fn cut(picture: RgbImage8, settings: &FineTuning, random: &mut impl Rng) -> RgbImage8 {
    let mut picture = picture;
    if settings.crop < 1.0 {
        let share = random.random_range(settings.crop..=1.0);
        let shorter = picture.width.min(picture.height);
        let side = ((share.sqrt() * shorter as f32).round() as u32).clamp(1, shorter);
        let left = random.random_range(0..=picture.width - side);
        let top = random.random_range(0..=picture.height - side);
        picture = square(&picture, [left, top], side);
    }
    if settings.flip && random.random_bool(0.5) {
        mirror(&mut picture);
    }
    picture
}

fn square(picture: &RgbImage8, [left, top]: [u32; 2], side: u32) -> RgbImage8 {
    let (row, from, length) = (3 * picture.width as usize, 3 * left as usize, 3 * side as usize);
    let rows = picture.data.chunks_exact(row).skip(top as usize).take(side as usize);
    RgbImage8 { width: side, height: side, data: rows.flat_map(|row| &row[from..][..length]).copied().collect() }
}

fn mirror(picture: &mut RgbImage8) {
    for row in picture.data.chunks_exact_mut(3 * picture.width as usize) {
        let turned: Vec<u8> = row.chunks_exact(3).rev().flatten().copied().collect();
        row.copy_from_slice(&turned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_epoch_has_every_image_once_in_another_order() {
        let images: Vec<u32> = (10..60).collect();
        let order = Order::default();
        let epoch =
            |number: u64| -> Vec<u32> { (0..50).map(|place| order.image(7, &images, number * 50 + place)).collect() };
        let (first, second) = (epoch(0), epoch(1));
        assert_ne!(first, second);
        assert_eq!(epoch(0), first, "an epoch is the same again");
        for mut order in [first, second] {
            order.sort_unstable();
            assert_eq!(order, images);
        }
    }

    #[test]
    fn a_square_is_cut_out_and_a_mirror_turns_rows() {
        // Pixels number themselves.
        let data: Vec<u8> = (0..12).flat_map(|pixel| [pixel; 3]).collect();
        let mut picture = square(&RgbImage8 { width: 4, height: 3, data }, [1, 1], 2);
        let numbers = |picture: &RgbImage8| picture.data.iter().step_by(3).copied().collect::<Vec<u8>>();
        assert_eq!((picture.width, numbers(&picture)), (2, vec![5, 6, 9, 10]));
        mirror(&mut picture);
        assert_eq!(numbers(&picture), [6, 5, 10, 9]);
    }

    #[test]
    fn a_cut_has_the_area_that_the_settings_allow() {
        let settings = FineTuning { crop: 0.25, ..FineTuning::default() };
        let picture = RgbImage8 { width: 40, height: 20, data: vec![0; 2400] };
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let sides: Vec<u32> = (0..200).map(|_| cut(picture.clone(), &settings, &mut random).width).collect();
        assert!(
            sides.iter().all(|side| (10..=20).contains(side)) && sides.contains(&10) && sides.contains(&20),
            "{sides:?}"
        );
    }
}
