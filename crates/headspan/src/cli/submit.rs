//! The flags of `submit`, and the flags of the pipeline once more as arguments for the processes that it asks for.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};
use headspan_images::is_local;
use headspan_pipeline::{
    BUILT_IN, Settings,
    engine::{
        ShardCount,
        slurm::{NOTICE, Resources},
    },
};

use crate::{
    cli::pipeline::{
        CheckpointArgs, DataArgs, DeviceArgs, ImagesArgs, LabelArgs, LayersArgs, PipelineArgs, PlaceArgs, TextspanArgs,
        WorkArgs, local_folder,
    },
    cli::ray::{RAY_HELP, RayArgs},
    commands::UsageError,
};

const SLURM_HELP: &str = "\
Examples:
  headspan submit slurm ViT-L-14 --images imagenet/val --dataset imagenet-val --tasks 16 --gpus 1 --time 4:00:00
  headspan submit slurm ViT-L-14 --images imagenet/val --dataset imagenet-val --tasks 16 --dry-run

For each model, a job array extracts the shards; a job that depends on it joins them and runs the later stages.
The same command submits only the shards that are missing. `headspan status` shows them.
Tasks inherit the environment, so tokens and keys never stand in a script.";

/// What runs the shards.
#[derive(Debug, Subcommand)]
pub(crate) enum SubmitEngine {
    /// Submit to Slurm: a job array for each model, and a job that depends on it
    #[command(after_help = SLURM_HELP)]
    Slurm(Box<SlurmArgs>),
    /// Run the shards as tasks of Ray, on a cluster or on this machine
    #[command(after_help = RAY_HELP)]
    Ray(Box<RayArgs>),
}

/// Flags of `submit slurm`.
#[derive(Debug, Args)]
pub(crate) struct SlurmArgs {
    /// Model ids or architectures
    #[arg(value_delimiter = ',')]
    pub(crate) models: Vec<String>,
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
    #[command(flatten)]
    resources: ResourcesArgs,
    /// Number of shards for each model, and so the most tasks that run at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000), required_unless_present_any = ["task_minutes", "task_gigabytes"], help_heading = "Slurm")]
    tasks: Option<u64>,
    /// In place of a number: shards that take about so many minutes, by the rate that a task or run of the model had last
    #[arg(long, value_name = "MINUTES", value_parser = minutes, conflicts_with = "tasks", help_heading = "Slurm")]
    task_minutes: Option<f64>,
    /// In place of a number: shards that read about so many gigabytes of images
    #[arg(long, value_name = "GB", value_parser = gigabytes, conflicts_with_all = ["tasks", "task_minutes"], help_heading = "Slurm")]
    task_gigabytes: Option<u64>,
    /// Program that the tasks run; default: this one
    #[arg(long, value_name = "PATH", help_heading = "Slurm")]
    pub(crate) program: Option<PathBuf>,
    /// Folder of scripts and logs; default: the run's folder, or headspan-jobs if runs are in a store
    #[arg(long, value_name = "DIR", value_parser = local_folder, help_heading = "Slurm")]
    pub(crate) logs: Option<PathBuf>,
    /// Print the scripts, and submit nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print JSON: each run with its jobs
    #[arg(long)]
    pub(crate) json: bool,
}

/// What each task asks of the cluster.
#[derive(Debug, Args)]
struct ResourcesArgs {
    /// GPUs of a task: a number, or TYPE:NUMBER
    #[arg(long, value_name = "N", help_heading = "Slurm")]
    gpus: Option<String>,
    /// Partition
    #[arg(long, value_name = "NAME", help_heading = "Slurm")]
    partition: Option<String>,
    /// Time limit of a task, such as 4:00:00
    #[arg(long, value_name = "TIME", help_heading = "Slurm")]
    time: Option<String>,
    /// Account that pays
    #[arg(long, value_name = "NAME", help_heading = "Slurm")]
    account: Option<String>,
    /// Features that a node must have
    #[arg(long, value_name = "FEATURES", help_heading = "Slurm")]
    constraint: Option<String>,
    /// Processors of a task
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Slurm")]
    cpus_per_task: Option<u32>,
    /// Memory of a task, such as 32G
    #[arg(long, value_name = "SIZE", help_heading = "Slurm")]
    mem: Option<String>,
    /// Seconds before the time limit at which a task ends and keeps what is whole
    #[arg(long, value_name = "SECONDS", default_value_t = NOTICE, value_parser = clap::value_parser!(u32).range(1..=65_535), help_heading = "Slurm")]
    notice: u32,
    /// Shell script that each task reads first, to load modules or an environment
    #[arg(long, value_name = "FILE", help_heading = "Slurm")]
    setup: Option<PathBuf>,
}

/// Time of a task, which may be a fraction of a minute.
pub(super) fn minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|_not_a_number| "expected a number of minutes".to_owned())?;
    if minutes.is_finite() && minutes > 0.0 { Ok(minutes) } else { Err("expected more than 0 minutes".to_owned()) }
}

/// What a task reads, in bytes, from gigabytes that may be a fraction.
pub(super) fn gigabytes(text: &str) -> Result<u64, String> {
    let gigabytes: f64 = text.parse().map_err(|_not_a_number| "expected a number of gigabytes".to_owned())?;
    let bytes = (gigabytes * 1e9).round();
    if bytes.is_finite() && bytes >= 1.0 { Ok(bytes as u64) } else { Err("expected more than 0 gigabytes".to_owned()) }
}

impl SlurmArgs {
    /// How many shards are made of a run.
    pub(crate) fn shards(&self) -> ShardCount {
        let of_minutes = |minutes| ShardCount::OfMinutes {
            minutes,
            on_gpus: self.resources.gpus.as_deref().is_some_and(|gpus| gpus != "0"),
        };
        let other = self.task_minutes.map(of_minutes).or(self.task_gigabytes.map(ShardCount::OfBytes));
        other.unwrap_or(ShardCount::Exactly(self.tasks.unwrap_or(1)))
    }

    /// What each task asks for.
    pub(crate) fn resources(&self) -> Result<Resources> {
        let ResourcesArgs { gpus, partition, time, account, constraint, cpus_per_task, mem, notice, setup } =
            &self.resources;
        if let Some(setup) = setup.as_ref().filter(|setup| !setup.is_file()) {
            return Err(UsageError(format!("--setup `{}` is not a file", setup.display())).into());
        }
        Ok(Resources {
            gpus: gpus.clone(),
            partition: partition.clone(),
            time: time.clone(),
            account: account.clone(),
            constraint: constraint.clone(),
            cpus_per_task: *cpus_per_task,
            mem: mem.clone(),
            notice: Some(*notice),
            setup: setup.as_ref().map(std::path::absolute).transpose()?,
        })
    }
}

/// The flags of a command line again, with absolute paths, for a process that starts on another machine.
#[derive(Debug, Default)]
pub(crate) struct Again {
    /// Those that `extract` has.
    pub(crate) extract: Vec<String>,
    /// Those that `run-all` has.
    pub(crate) run_all: Vec<String>,
}

impl Again {
    /// `own` are the settings after all layers: the run's place is named whatever says it. Structs are taken apart without `..`, so that
    /// a new flag does not compile until somebody passes it on.
    pub(crate) fn of(arguments: &PipelineArgs, own: &Settings) -> Result<Self> {
        let PipelineArgs { place, checkpoint, images, data, device, layers, work, textspan, label } = arguments;
        let mut flags = Flags::default();
        let PlaceArgs { runs: _, dataset: _, configs, config, set } = place;
        flags.path("runs", Some(&own.runs))?;
        flags.value("dataset", Some(&own.dataset));
        // Without a folder of configuration here, there is none for the tasks either: they start in the same folder.
        flags.path("configs", Some(configs).filter(|configs| configs.is_dir()))?;
        for file in config {
            flags.path("config", Some(file))?;
        }
        for assignment in set {
            flags.value("set", Some(assignment));
        }
        let CheckpointArgs { checkpoint, architecture, quick_gelu, image_size } = checkpoint;
        flags.path("checkpoint", checkpoint.as_ref())?;
        flags.value("architecture", architecture.as_ref());
        flags.value("quick-gelu", quick_gelu.as_ref());
        flags.value("image-size", image_size.as_ref());
        let ImagesArgs { images, classes } = images;
        flags.path("images", images.as_ref())?;
        flags.path("classes", classes.as_ref())?;
        let DataArgs { limit, texts } = data;
        flags.value("limit", limit.as_ref());
        flags.path("texts", texts.as_ref())?;
        let DeviceArgs { device } = device;
        flags.value("device", device.as_ref());
        let LayersArgs { layers } = layers;
        flags.value("layers", layers.as_ref());
        let WorkArgs { batch_size, keep, strict } = work;
        flags.value("batch-size", batch_size.as_ref());
        flags.value("keep", keep.as_ref());
        if *strict {
            flags.0.push("--strict".to_owned());
        }
        let extract = flags.0.clone();
        let TextspanArgs { k, rank } = textspan;
        flags.value("k", k.as_ref());
        flags.value("rank", rank.as_ref());
        let LabelArgs { labeller } = label;
        flags.value("labeller", labeller.as_ref());
        let again = Self { extract, run_all: flags.0 };
        again.refuse_secrets()?;
        Ok(again)
    }

    /// Scripts and the list of processes are read by others.
    fn refuse_secrets(&self) -> Result<()> {
        let Some(flag) = self.run_all.iter().find(|argument| has_secret(argument)) else { return Ok(()) };
        let name = flag.split('=').next().unwrap_or_default();
        let message =
            format!("{name} has an address with a password or a signature, which others could read in the script");
        Err(UsageError::hinted(message, "let the environment have the credentials: tasks inherit it"))
    }
}

/// Whether an address names a user's password, or is signed.
fn has_secret(argument: &str) -> bool {
    let Some((_scheme, rest)) = argument.split_once("://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let query = rest.split_once('?').map(|(_, query)| query.to_ascii_lowercase()).unwrap_or_default();
    let signed = |pair: &str| ["sig", "token", "key", "secret", "credential"].iter().any(|word| pair.contains(word));
    let mut names = query.split('&').filter_map(|pair| pair.split('=').next());
    host.split_once('@').is_some_and(|(user, _host)| user.contains(':')) || names.any(signed)
}

/// The text of a path that a flag names: other programs are handed text.
pub(super) fn utf8<'a>(name: &str, path: &'a Path) -> Result<&'a str> {
    Ok(path.to_str().ok_or_else(|| UsageError(format!("--{name} `{}` is not UTF-8", path.display())))?)
}

/// Arguments `--name=value`: a value may begin with a dash.
#[derive(Debug, Default)]
struct Flags(Vec<String>);

impl Flags {
    fn value(&mut self, name: &str, value: Option<&impl ToString>) {
        self.0.extend(value.map(|value| format!("--{name}={}", value.to_string())));
    }

    fn path(&mut self, name: &str, path: Option<&PathBuf>) -> Result<()> {
        let Some(path) = path else { return Ok(()) };
        // Settings know `~`, so it stays for the task.
        let named = !is_local(path) || path == Path::new(BUILT_IN) || path.starts_with("~");
        let whole = if named { path.clone() } else { std::path::absolute(path)? };
        self.value(name, Some(&utf8(name, &whole)?));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn again(flags: &[&str]) -> Result<Again> {
        let words = ["headspan", "submit", "slurm", "m", "--tasks", "2"].iter().chain(flags);
        let Command::Submit { engine: SubmitEngine::Slurm(arguments) } = Cli::try_parse_from(words)?.command else {
            anyhow::bail!("another command");
        };
        let own = Settings { runs: "/runs".into(), dataset: "d".to_owned(), ..Settings::default() };
        Again::of(&arguments.pipeline, &own)
    }

    #[test]
    fn all_flags_come_again_with_absolute_paths() -> Result<()> {
        let flags = [
            "--checkpoint=/c",
            "--architecture=ViT-B-32",
            "--quick-gelu=false",
            "--image-size=32",
            "--images=/it's here",
            "--classes=/k",
            "--limit=7",
            "--texts=/t",
            "--device=cuda:1",
            "--layers=8,9",
            "--batch-size=3",
            "--keep=sample:9",
            "--strict",
            "--k=4",
            "--rank=5",
            "--labeller=lexicon",
            "--config=/f",
            "--set=textspan.rank=6",
        ];
        let again = again(&flags)?;
        let words = ["headspan", "run-all", "m"].map(str::to_owned).into_iter().chain(again.run_all.clone());
        let Command::RunAll { pipeline, .. } = Cli::try_parse_from(words)?.command else {
            anyhow::bail!("another command");
        };
        let place = ["--runs=/runs", "--dataset=d"];
        let once = Cli::try_parse_from(["headspan", "run-all", "m"].iter().chain(&place).chain(&flags))?;
        let Command::RunAll { pipeline: expected, .. } = once.command else { anyhow::bail!("another command") };
        assert_eq!(format!("{pipeline:?}"), format!("{expected:?}"));
        let words = ["headspan", "extract", "m", "--shard=0/2"].map(str::to_owned).into_iter().chain(again.extract);
        assert!(Cli::try_parse_from(words).is_ok());
        Ok(())
    }

    #[test]
    fn relative_paths_become_absolute_and_words_stay() -> Result<()> {
        let again =
            again(&["--images", "photos/train-{000..009}.tar", "--texts", "built-in", "--classes", "~/classes"])?;
        let here = std::env::current_dir()?;
        let images = format!("--images={}", here.join("photos/train-{000..009}.tar").display());
        assert!(again.extract.contains(&images), "{:?}", again.extract);
        for word in ["--texts=built-in", "--classes=~/classes"] {
            assert!(again.extract.contains(&word.to_owned()), "{:?}", again.extract);
        }
        Ok(())
    }

    #[test]
    fn secrets_in_addresses_are_refused() {
        for address in ["https://me:pass@host/a.tar", "https://host/a.tar?X-Amz-Signature=1", "s3://b/a?sig=1"] {
            assert!(again(&["--images", address]).is_err(), "{address}");
        }
        for address in ["https://host/a@b:c.tar", "s3://bucket/a.tar", "https://host/a.tar?version=1"] {
            assert!(again(&["--images", address]).is_ok(), "{address}");
        }
    }
}
