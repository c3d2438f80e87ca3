use std::{collections::BTreeMap, ops::Range, sync::Mutex};

use fs_err as fs;
use headspan_artifacts::{HeadId, MomentsRow, RunId};
use headspan_headspace::MomentSums;
use proptest::{
    prelude::*,
    sample::{select, subsequence},
    test_runner::TestRunner,
};

use super::*;
use crate::{
    moments::{moments, moments_of_parts},
    settings::Shard,
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const FINGERPRINT: &str = "f00d";
/// Nodes join few others here, so that few parts make a tree of three levels: four full nodes, a node of these, and two parts beside it.
const FAN_IN: u64 = 4;
const PARTS: u64 = 18;
const ROWS: u64 = 3;
/// Images of the sample, in seven files.
const SAMPLE: u64 = 20;

fn shape() -> ActivationShape {
    ActivationShape { heads: HeadId::of_layers(&[1], 2).collect(), head_dim: 2, d: 3 }
}

fn plan(keep: Keep) -> PartPlan {
    // The last part is shorter.
    PartPlan { images: PARTS * ROWS - 1, rows: ROWS, keep }
}

/// Every seventh image is bad.
fn is_good(image: u64) -> bool {
    image % 7 != 3
}

/// Numbers of an image that have no short sums.
fn number(image: u64, place: u64) -> f32 {
    ((image * 31 + place * 17 + 5) as f32).sin() / 3.0
}

fn images(images: impl Iterator<Item = u64>) -> (Vec<ImageRow>, ActivationBatch) {
    let (mut rows, mut batch) =
        (Vec::new(), ActivationBatch { heads: vec![Vec::new(); 2], ..ActivationBatch::default() });
    for image in images {
        let status = if is_good(image) { ImageStatus::Ok } else { ImageStatus::Skipped };
        rows.push(ImageRow {
            image_index: image,
            image_id: format!("{image}.png"),
            class_id: None,
            class_index: None,
            width: 4,
            height: 4,
            status,
            error: (!is_good(image)).then(|| "corrupt PNG".to_owned()),
        });
        if !is_good(image) {
            continue;
        }
        batch.image_index.push(image);
        batch.inv_scale.push(number(image, 0));
        batch.mean_scale.push(number(image, 1));
        batch.inv_norm.push(number(image, 2));
        batch.representation.extend((3..6).map(|place| number(image, place)));
        for (head, values) in (0..).zip(&mut batch.heads) {
            values.extend((0..2).map(|place| number(image, 6 + 2 * head + place)));
        }
    }
    (rows, batch)
}

fn run_at(root: &Path) -> Result<RunDirectory, ArtifactError> {
    RunDirectory::create(root, &RunId::new("d", "m")?)
}

fn nodes<'a>(plan: &PartPlan, run: &'a RunDirectory) -> Result<Nodes<'a>, &'static str> {
    nodes_of(plan, run, FINGERPRINT)
}

fn nodes_of<'a>(plan: &PartPlan, run: &'a RunDirectory, fingerprint: &'a str) -> Result<Nodes<'a>, &'static str> {
    let nodes = Nodes::of(plan, run, fingerprint).ok_or("this plan keeps all")?;
    Ok(Nodes { tree: Tree::with_fan_in(plan.parts(), FAN_IN), ..nodes })
}

fn commit(nodes: &Nodes<'_>, part: u64) -> Result<()> {
    let (rows, batch) = images(nodes.plan.images_of(part));
    nodes.commit(part, rows, &batch, &shape())
}

/// Commits what is missing, and joins.
fn complete(plan: &PartPlan, run: &RunDirectory) -> Result<Root, Box<dyn std::error::Error>> {
    complete_by(&nodes(plan, run)?)
}

fn complete_by(nodes: &Nodes<'_>) -> Result<Root, Box<dyn std::error::Error>> {
    let missing: Vec<u64> = (0..).zip(nodes.committed()?).filter(|(_, done)| !done).map(|(part, _)| part).collect();
    for part in missing {
        commit(nodes, part)?;
    }
    assert!(nodes.committed()?.iter().all(|done| *done));
    Ok(nodes.finish()?.ok_or("parts are missing")?)
}

/// Every file of a run and its bytes.
fn files(run: &RunDirectory) -> Result<Files, Box<dyn std::error::Error>> {
    let mut found = BTreeMap::new();
    for folder in ["parts", "activations"] {
        if !run.path().join(folder).is_dir() {
            continue;
        }
        for entry in fs::read_dir(run.path().join(folder))? {
            let path = entry?.path();
            found.insert(path.strip_prefix(run.path())?.display().to_string(), fs::read(&path)?);
        }
    }
    Ok(found)
}

/// The files of an undisturbed run.
fn undisturbed(plan: &PartPlan) -> Result<Files, Box<dyn std::error::Error>> {
    let root = tempfile::tempdir()?;
    let run = run_at(root.path())?;
    complete(plan, &run)?;
    files(&run)
}

/// Moments of all images as a run that keeps all activations has them.
fn moments_of_all(plan: &PartPlan) -> Result<Vec<MomentsRow>, Box<dyn std::error::Error>> {
    let root = tempfile::tempdir()?;
    let run = run_at(root.path())?;
    for part in 0..plan.parts() {
        let mut writer = PartWriter::create(&run.part(part), run.id(), FINGERPRINT, &shape())?;
        writer.write(images(plan.images_of(part)).1)?;
        writer.commit()?;
    }
    Ok(moments_of_parts(&run, &run.parts()?)?)
}

#[test]
fn what_is_left_does_not_grow_and_has_the_moments_of_all_images() -> Outcome {
    let root = tempfile::tempdir()?;
    let run = run_at(root.path())?;
    // The tree of the program itself: two full nodes, and two parts beside them.
    let plan = PartPlan { images: 130 * ROWS - 1, rows: ROWS, keep: Keep::Moments };
    let found = complete_by(&Nodes::of(&plan, &run, FINGERPRINT).ok_or("this plan keeps all")?)?;
    let left: Vec<String> = files(&run)?.into_keys().collect();
    assert_eq!(left, ["parts/images-00000-00129.parquet", "parts/sums-00000-00129.parquet"]);
    assert_eq!(run.parts_there()?, 130);
    let bad: Vec<u64> = (0..plan.images).filter(|image| !is_good(*image)).collect();
    assert_eq!(found.rows.iter().map(|row| row.image_index).collect::<Vec<_>>(), bad);
    let own = moments(found.sums);
    assert_eq!(own[0].n, plan.images - bad.len() as u64);
    assert_eq!(own, moments_of_all(&plan)?);
    Ok(())
}

/// Runs of up to 64 parts have the bits that they had before parts were joined by a tree.
#[test]
fn few_parts_have_the_bits_of_one_sum() -> Outcome {
    for parts in [1, 2, 64] {
        let plan = PartPlan { images: parts * ROWS, ..plan(Keep::All) };
        let found = moments_of_all(&plan)?;
        for (head, found) in found.iter().enumerate() {
            let mut sums = MomentSums::new(5);
            for part in 0..parts {
                let batch = images(plan.images_of(part)).1;
                let u: Vec<_> = (0..batch.len()).map(|image| batch.u(head, image)).collect();
                sums.add(u.len(), |image, column| u[image].as_slice()[column]);
            }
            assert_eq!(*found, MomentsRow::new(found.head_id(), sums.moments()), "{parts} parts");
        }
    }
    Ok(())
}

#[test]
fn only_the_first_skipped_images_are_named() -> Outcome {
    let root = tempfile::tempdir()?;
    let run = run_at(root.path())?;
    let plan = PartPlan { images: 1000, rows: 90, keep: Keep::Moments };
    let bad: Vec<u64> = (0..1000).filter(|image| !is_good(*image)).collect();
    assert!(bad.len() > NAMED);
    let found = complete(&plan, &run)?;
    assert_eq!(found.rows.iter().map(|row| row.image_index).collect::<Vec<_>>(), bad[..NAMED]);
    assert_eq!(found.sums[0].n, 1000 - bad.len() as u64);
    Ok(())
}

/// Shards one after the other or in turns, parts twice, and the last first.
#[test]
fn whoever_commits_in_whatever_order_the_bytes_are_the_same() -> Outcome {
    for keep in [Keep::Moments, Keep::Sample(SAMPLE)] {
        let plan = plan(keep);
        let expected = undisturbed(&plan)?;
        let shard = |index, count| plan.of_shard(Some(Shard { index, count }));
        let in_turns: Vec<u64> = {
            let shards: Vec<Vec<u64>> = (0..3).map(|index| shard(index, 3)).collect();
            (0..PARTS as usize).flat_map(|at| shards.iter().filter_map(move |own| own.get(at).copied())).collect()
        };
        let twice: Vec<u64> = (0..10).chain(0..10).chain(7..PARTS).collect();
        let backwards: Vec<u64> = (0..PARTS).rev().collect();
        for order in [in_turns, twice, backwards] {
            let root = tempfile::tempdir()?;
            let run = run_at(root.path())?;
            let nodes = nodes(&plan, &run)?;
            for part in &order {
                commit(&nodes, *part)?;
            }
            complete(&plan, &run)?;
            assert!(files(&run)? == expected, "{keep}: {order:?}");
        }
    }
    Ok(())
}

/// Files that wait to be joined are few while a shard runs, whatever the others do.
#[test]
fn a_shard_alone_leaves_few_files() -> Outcome {
    let root = tempfile::tempdir()?;
    let run = run_at(root.path())?;
    let plan = plan(Keep::Moments);
    let nodes = nodes(&plan, &run)?;
    let mut most = 0;
    for part in 0..PARTS - 1 {
        commit(&nodes, part)?;
        most = most.max(run.all_sums()?.len());
    }
    // Three nodes and three parts, before the sixteenth part makes one node of them.
    assert_eq!((most, run.all_sums()?), (6, vec![0..16, 16..17]));
    assert_eq!(run.parts_there()?, PARTS - 1);
    assert!(nodes.finish()?.is_none(), "a part is missing");
    assert_eq!(nodes.committed()?.iter().filter(|done| !**done).count(), 1);
    Ok(())
}

#[test]
fn two_processes_that_do_the_same_at_once_do_no_harm() -> Outcome {
    for keep in [Keep::Moments, Keep::Sample(SAMPLE)] {
        let plan = plan(keep);
        let root = tempfile::tempdir()?;
        let run = run_at(root.path())?;
        std::thread::scope(|scope| -> Outcome {
            let work = || -> Result<(), String> {
                let nodes = nodes(&plan, &run)?;
                (0..PARTS).try_for_each(|part| commit(&nodes, part)).map_err(|error| error.to_string())
            };
            let both = [scope.spawn(work), scope.spawn(work)];
            for one in both {
                one.join().map_err(|_panic| "a thread panicked")??;
            }
            Ok(())
        })?;
        complete(&plan, &run)?;
        assert!(files(&run)? == undisturbed(&plan)?, "{keep}");
    }
    Ok(())
}

#[test]
fn the_sample_is_the_same_for_all_part_sizes_and_its_numbers_are_those_of_the_images() -> Outcome {
    let mut samples = Vec::new();
    for rows in [2, 3, 50, 1000] {
        let root = tempfile::tempdir()?;
        let run = run_at(root.path())?;
        let plan = PartPlan { rows, ..plan(Keep::Sample(SAMPLE)) };
        let found = complete(&plan, &run)?;
        let (mut all, shape) = (ActivationBatch::default(), shape());
        for path in run.parts()? {
            let part = PartReader::open(&path)?.read(&shape.heads, true)?;
            assert!(part.len() as u64 <= rows);
            if !part.is_empty() {
                all.append(part);
            }
        }
        assert_eq!(all, images(all.image_index.iter().copied()).1);
        let good = found.rows.iter().filter(|row| row.status == ImageStatus::Ok);
        assert!(good.map(|row| row.image_index).eq(all.image_index.iter().copied()));
        assert_eq!(found.sums[0].n, (0..plan.images).filter(|image| is_good(*image)).count() as u64);
        samples.push(all);
    }
    assert!(samples.windows(2).all(|pair| pair[0] == pair[1]));
    let images = samples[0].len();
    assert!((SAMPLE / 2..SAMPLE).contains(&(images as u64)), "{images} of {SAMPLE}, less the bad ones");
    Ok(())
}

/// A lost file of the sample is made again from its parts alone.
#[test]
fn a_lost_file_of_the_sample_is_made_again() -> Outcome {
    let root = tempfile::tempdir()?;
    let run = run_at(root.path())?;
    let plan = plan(Keep::Sample(SAMPLE));
    complete(&plan, &run)?;
    let expected = files(&run)?;
    fs::remove_file(run.part(2))?;
    let missing = nodes(&plan, &run)?.committed()?.iter().filter(|done| !**done).count() as u64;
    assert!((1..=ROWS).contains(&missing), "{missing}");
    complete(&plan, &run)?;
    assert!(files(&run)? == expected);
    Ok(())
}

/// What a run of other settings left is not taken for this one's.
#[test]
fn files_of_other_settings_count_for_nothing() -> Outcome {
    let root = tempfile::tempdir()?;
    let run = run_at(root.path())?;
    let plan = plan(Keep::Moments);
    let other = nodes_of(&plan, &run, "beef")?;
    for part in 0..PARTS {
        commit(&other, part)?;
    }
    assert!(nodes(&plan, &run)?.committed()?.iter().all(|done| !*done));
    // A process of other settings was ended between the two files of a node.
    let own = nodes(&plan, &run)?;
    commit(&own, 7)?;
    write_rows(&run.part_images(7), run.id(), "beef", &images(21..24).0)?;
    assert!(own.committed()?.iter().all(|done| !*done));
    complete(&plan, &run)?;
    assert!(files(&run)? == undisturbed(&plan)?);
    Ok(())
}

/// Where a file of a run is.
type Place<'a> = &'a dyn Fn(&RunDirectory) -> PathBuf;

/// A file that cannot be written ends the process that would write it. What it would have been made of is still there.
#[test]
fn what_a_file_is_made_of_stays_until_it_is_there() -> Outcome {
    let plan = plan(Keep::Sample(SAMPLE));
    let expected = undisturbed(&plan)?;
    let sampled = Sample::of(&plan, SAMPLE).images_of(1)[0] / ROWS;
    let places: [(Place<'_>, usize); 8] = [
        (&|run| run.sums(&(4..8)), 0),
        (&|run| run.images_of(&(4..8)), 0),
        (&|run| run.sums(&(0..16)), 0),
        (&|run| run.sums(&(0..PARTS)), 0),
        (&|run| run.part(1), 0),
        (&|run| run.sums(&(5..6)), 1),
        (&|run| run.part_images(5), 1),
        (&|run| run.part_sample(sampled), 1),
    ];
    for (place, missing) in places {
        let root = tempfile::tempdir()?;
        let run = run_at(root.path())?;
        // No file takes the place of a folder that is not empty.
        let obstacle = place(&run);
        fs::create_dir_all(obstacle.join("full"))?;
        let nodes = nodes(&plan, &run)?;
        let failed = (0..PARTS).filter(|part| commit(&nodes, *part).is_err()).count();
        assert!(failed > 0, "{}", obstacle.display());
        fs::remove_dir_all(&obstacle)?;
        let found = nodes.committed()?.iter().filter(|done| !**done).count();
        assert_eq!(found, missing, "{}", obstacle.display());
        complete(&plan, &run)?;
        assert!(files(&run)? == expected, "{}", obstacle.display());
    }
    Ok(())
}

/// Files of some parts by themselves: where they are a node, no other is there to join it with. Kept, because many states have them.
fn alone(parts: Range<u64>) -> Result<Files, Box<dyn std::error::Error>> {
    static KNOWN: Mutex<BTreeMap<(u64, u64), Files>> = Mutex::new(BTreeMap::new());
    let key = (parts.start, parts.end);
    if let Some(known) = KNOWN.lock().map_err(|_poisoned| "a test panicked")?.get(&key) {
        return Ok(known.clone());
    }
    let root = tempfile::tempdir()?;
    let run = run_at(root.path())?;
    let plan = plan(Keep::Moments);
    let nodes = nodes(&plan, &run)?;
    for part in parts {
        commit(&nodes, part)?;
    }
    let found = files(&run)?;
    KNOWN.lock().map_err(|_poisoned| "a test panicked")?.insert(key, found.clone());
    Ok(found)
}

/// Names and bytes of files.
type Files = BTreeMap<String, Vec<u8>>;

/// Where a process was ended that joined a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// Some children are there.
    Before,
    /// All children are there, and the node's rows.
    BetweenItsFiles,
    /// The node is there, and some children.
    WhileChildrenWent,
}

/// Nodes that are joined, by the parts of each of their children: four parts, or four nodes.
fn joined(level: u32) -> (Range<u64>, Vec<Range<u64>>) {
    let step = FAN_IN.pow(level);
    (0..4 * step, (0..4).map(|child| child * step..(child + 1) * step).collect())
}

/// A run as a crash may have left it, and how many of its parts are missing.
struct Crashed {
    _root: tempfile::TempDir,
    run: RunDirectory,
    missing: u64,
}

impl Crashed {
    /// A node above the level, ended at some point with these of its children there; and a part of which only the rows were written.
    fn new(level: u32, ended: Ended, there: &[usize], torn: u64) -> Result<Self, Box<dyn std::error::Error>> {
        let (root, (node, children)) = (tempfile::tempdir()?, joined(level));
        let mut crashed = Self { run: run_at(root.path())?, _root: root, missing: PARTS - node.end };
        fs::create_dir_all(crashed.run.path().join("parts"))?;
        for (place, child) in children.into_iter().enumerate() {
            if ended == Ended::BetweenItsFiles || there.contains(&place) {
                crashed.put(&alone(child)?, "")?;
            } else if ended == Ended::Before {
                crashed.missing += child.end - child.start;
            }
        }
        match ended {
            Ended::Before => {}
            Ended::BetweenItsFiles => crashed.put(&alone(node)?, "images")?,
            Ended::WhileChildrenWent => crashed.put(&alone(node)?, "")?,
        }
        if !crashed.run.sums(&(torn..torn + 1)).is_file() {
            crashed.put(&alone(torn..torn + 1)?, "images")?;
        }
        Ok(crashed)
    }

    fn put(&self, files: &Files, wanted: &str) -> Outcome {
        for (name, bytes) in files.iter().filter(|(name, _)| name.contains(wanted)) {
            fs::write(self.run.path().join(name), bytes)?;
        }
        Ok(())
    }

    /// Whether it is continued with no part repeated to the bytes of a run that was not disturbed.
    fn continues(&self, expected: &Files) -> Result<bool, Box<dyn std::error::Error>> {
        let plan = plan(Keep::Moments);
        let missing = nodes(&plan, &self.run)?.committed()?.iter().filter(|done| !**done).count() as u64;
        complete(&plan, &self.run)?;
        Ok(missing == self.missing && files(&self.run)? == *expected)
    }
}

/// Whatever state a crash leaves, nothing is lost, and the same bytes come out.
#[test]
fn a_crash_at_any_point_loses_nothing() -> Outcome {
    let expected = undisturbed(&plan(Keep::Moments))?;
    let ended = select(vec![Ended::Before, Ended::BetweenItsFiles, Ended::WhileChildrenWent]);
    let states = (0_u32..2, ended, subsequence(vec![0_usize, 1, 2, 3], 0..=4), 0_u64..PARTS);
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() });
    runner.run(&states, |(level, ended, there, torn)| {
        let continues = Crashed::new(level, ended, &there, torn).and_then(|crashed| crashed.continues(&expected));
        prop_assert!(continues.map_err(|error| TestCaseError::fail(error.to_string()))?);
        Ok(())
    })?;
    Ok(())
}
