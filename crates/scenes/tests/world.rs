//! The world is the same everywhere, and its data sets are.

use headspan_scenes::{Combinations, DatasetFormat, SceneError, World, write_dataset};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Hash of everything in 200 scenes of each of two worlds.
fn hash_of_scenes() -> String {
    let mut hasher = blake3::Hasher::new();
    let correlated = World {
        seed: 7,
        pixels: 96,
        correlation: 0.9,
        combinations: Combinations::All,
        captions: 2,
        ..World::default()
    };
    for world in [World::default(), correlated] {
        for index in 0..200 {
            let scene = world.scene(index);
            hasher.update(&scene.image).update(&scene.mask).update(scene.full_caption.as_bytes());
            for caption in &scene.captions {
                hasher.update(caption.as_bytes());
            }
        }
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

/// The renderer adds and multiplies in float32 without fused or vector instructions, and its sine is libm's, so every
/// machine must find this very hash. It changes only when the world is meant to change (and with it the demo models).
#[test]
fn the_world_is_the_same_on_every_machine() {
    assert_eq!(hash_of_scenes(), "654e14f739db6ba5");
}

#[test]
fn a_data_set_does_not_depend_on_threads() -> Outcome {
    let world = World { pixels: 32, ..World::default() };
    let folder = tempfile::tempdir()?;
    let mut hashes = Vec::new();
    for threads in [1, 4] {
        let own = folder.path().join(threads.to_string());
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        let files = pool.install(|| write_dataset(&world, 1_100, DatasetFormat::Webdataset, &own))?;
        let mut hasher = blake3::Hasher::new();
        for path in [files.images.join("shard-00000.tar"), files.images.join("shard-00001.tar"), files.scenes] {
            hasher.update(&fs_err::read(path)?);
        }
        hashes.push(hasher.finalize());
    }
    assert_eq!(hashes[0], hashes[1]);
    Ok(())
}

#[test]
fn every_object_is_in_its_picture() {
    let world = World::default();
    for index in 0..300 {
        let scene = world.scene(index);
        let covered = scene.mask.iter().filter(|value| **value > 127).count();
        // The smallest object alone covers some 90 of the 4,096 pixels, the largest four together about half.
        assert!((60..2_600).contains(&covered), "scene {index} covers {covered} pixels: {:?}", scene.attributes);
    }
}

#[test]
fn a_bystander_changes_nothing_else() {
    let alone = World::default();
    let beside = World { bystanders: 1.0, ..alone };
    let mut with = 0;
    for index in 0..300 {
        let (one, other) = (alone.scene(index), beside.scene(index));
        assert_eq!((one.attributes, &one.mask, one.bystander), (other.attributes, &other.mask, None));
        assert_eq!(beside.subject(index), (other.attributes, other.bystander));
        assert_eq!(beside.captions_of(index), other.captions);
        let Some(bystander) = other.bystander else {
            assert_eq!((one.image, other.bystander_mask.len()), (other.image, 0));
            continue;
        };
        with += 1;
        assert!(bystander.kind != one.attributes.kind && bystander.hue != one.attributes.hue);
        let covered = other.bystander_mask.iter().filter(|value| **value > 127).count();
        // Half a side of 9.5 pixels: a full square has 361; the objects may cover a corner of it.
        assert!((60..330).contains(&covered), "scene {index}: {covered} pixels of {bystander:?}");
        let both = one.mask.iter().zip(&other.bystander_mask).filter(|(one, other)| **one > 127 && **other > 127);
        assert_eq!(both.count(), 0, "scene {index}");
        assert!(other.full_caption.starts_with(&one.full_caption) && other.full_caption.len() > one.full_caption.len());
    }
    // What the documentation says: seven scenes in ten have room.
    assert!((190..=230).contains(&with), "{with} of 300");
}

#[test]
fn pictures_of_no_size_are_refused() -> Outcome {
    let folder = tempfile::tempdir()?;
    let refused = write_dataset(&World { pixels: 8, ..World::default() }, 1, DatasetFormat::Folder, folder.path());
    assert!(matches!(refused, Err(SceneError::Pixels { pixels: 8 })));
    Ok(())
}

/// The pool in `data/` is the one that every data set of this world has beside it.
#[test]
fn the_pool_in_data_is_the_worlds() -> Outcome {
    let folder = tempfile::tempdir()?;
    let files = write_dataset(&World { pixels: 32, ..World::default() }, 1, DatasetFormat::Folder, folder.path())?;
    let kept = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/demo/descriptions.csv");
    assert!(
        fs_err::read(files.descriptions)? == fs_err::read(kept)?,
        "copy descriptions.csv of `headspan scenes` there"
    );
    Ok(())
}
