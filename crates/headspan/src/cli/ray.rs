//! The flags of `submit ray`, and the call of the package's function that they mean.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use headspan_pipeline::assigned;
use serde_json::{Map, Value, json};

use crate::{
    cli::pipeline::{
        CheckpointArgs, DataArgs, DeviceArgs, ImagesArgs, LabelArgs, LayersArgs, PipelineArgs, PlaceArgs, TextspanArgs,
        WorkArgs,
    },
    cli::submit::{gigabytes, minutes, utf8},
};

/// Help after the flags.
pub(super) const RAY_HELP: &str = "\
Examples:
  headspan submit ray ViT-L-14 --images /shared/val --dataset val --runs /shared/runs --num-gpus 1 --num-cpus 8
  ray job submit -- headspan submit ray ViT-L-14 --images s3://lab/val --runs s3://lab/runs

Shards run as tasks of Ray; this program then joins them and runs the later stages. It needs the Python package headspan with Ray.
The same command submits only the shards that are missing.";

/// Flags of `submit ray`.
#[derive(Debug, Args)]
pub(crate) struct RayArgs {
    /// Model ids or architectures
    #[arg(value_delimiter = ',')]
    pub(crate) models: Vec<String>,
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
    #[command(flatten)]
    resources: ResourcesArgs,
    /// Python that has headspan and Ray; default: the one that runs this program, or python3
    #[arg(long, value_name = "PATH", help_heading = "Ray")]
    pub(crate) python: Option<PathBuf>,
    /// Print JSON: each run with its stages
    #[arg(long)]
    pub(crate) json: bool,
}

/// What each task asks of the cluster.
#[derive(Debug, Args)]
struct ResourcesArgs {
    /// Number of shards for each model; default: shards of 16 parts, or of 128 on GPUs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000), help_heading = "Ray")]
    tasks: Option<u64>,
    /// In place of a number: shards that take about so many minutes, by the rate that a task or run of the model had last
    #[arg(long, value_name = "MINUTES", value_parser = minutes, conflicts_with = "tasks", help_heading = "Ray")]
    task_minutes: Option<f64>,
    /// In place of a number: shards that read about so many gigabytes of images
    #[arg(long, value_name = "GB", value_parser = gigabytes, conflicts_with_all = ["tasks", "task_minutes"], help_heading = "Ray")]
    task_gigabytes: Option<u64>,
    /// Processors of a task
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = amount, help_heading = "Ray")]
    num_cpus: f64,
    /// GPUs of a task
    #[arg(long, value_name = "N", default_value_t = 0.0, value_parser = amount, help_heading = "Ray")]
    num_gpus: f64,
    /// How often a task is run again whose worker or node is lost
    #[arg(long, value_name = "N", default_value_t = 3, help_heading = "Ray")]
    retries: u32,
    /// Most tasks that are submitted and not yet done; default: twice as many as can run at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Ray")]
    in_flight: Option<u64>,
    /// The cluster: auto, HOST:PORT or local; default: `RAY_ADDRESS`, or a cluster of this machine
    #[arg(long, value_name = "ADDRESS", help_heading = "Ray")]
    address: Option<String>,
}

/// An amount of a resource, which may be a fraction.
fn amount(text: &str) -> Result<f64, String> {
    let amount: f64 = text.parse().map_err(|_not_a_number| "expected a number".to_owned())?;
    if amount.is_finite() && amount >= 0.0 { Ok(amount) } else { Err("expected 0 or more".to_owned()) }
}

impl RayArgs {
    /// The arguments of `headspan.submit`. Structs are taken apart without `..`, so that a new flag does not compile until somebody passes
    /// it on.
    pub(crate) fn call(&self) -> Result<Value> {
        let ResourcesArgs { tasks, task_minutes, task_gigabytes, num_cpus, num_gpus, retries, in_flight, address } =
            &self.resources;
        let mut call = json!({
            "models": self.models, "tasks": tasks, "task_minutes": task_minutes, "task_gigabytes": task_gigabytes.map(|bytes| bytes as f64 / 1e9), "num_cpus": num_cpus, "num_gpus": num_gpus, "retries": retries,
            "in_flight": in_flight, "address": address,
        });
        if let Value::Object(call) = &mut call {
            call.append(&mut arguments(&self.pipeline)?);
            call.retain(|_name, value| !value.is_null());
        }
        Ok(call)
    }
}

/// The arguments of `headspan.run_all`, null where a flag was not given.
fn arguments(of: &PipelineArgs) -> Result<Map<String, Value>> {
    let PipelineArgs { place, checkpoint, images, data, device, layers, work, textspan, label } = of;
    let PlaceArgs { runs, dataset, configs, config, set } = place;
    let CheckpointArgs { checkpoint, architecture, quick_gelu, image_size } = checkpoint;
    let ImagesArgs { images, classes } = images;
    let DataArgs { limit, texts } = data;
    let DeviceArgs { device } = device;
    let LayersArgs { layers } = layers;
    let WorkArgs { batch_size, keep, strict } = work;
    let TextspanArgs { k, rank } = textspan;
    let LabelArgs { labeller } = label;
    let config = config.iter().map(|file| utf8("config", file)).collect::<Result<Vec<_>>>()?;
    let settings = set.iter().map(|one| {
        let (key, value) = assigned(one);
        Ok((key.to_owned(), serde_json::to_value(value)?))
    });
    let values = json!({
        "runs": path("runs", runs.as_deref())?,
        "dataset": dataset,
        "configs": path("configs", Some(configs.as_path()).filter(|configs| configs.is_dir()))?,
        "config": config,
        "settings": settings.collect::<Result<Map<_, _>>>()?,
        "checkpoint": path("checkpoint", checkpoint.as_deref())?,
        "architecture": architecture,
        "quick_gelu": quick_gelu,
        "image_size": image_size,
        "images": path("images", images.as_deref())?,
        "classes": path("classes", classes.as_deref())?,
        "limit": limit,
        "texts": path("texts", texts.as_deref())?,
        "device": device.map(|device| device.to_string()),
        "layers": layers.as_ref().map(ToString::to_string),
        "batch_size": batch_size,
        "keep": keep.as_ref().map(ToString::to_string),
        "strict": strict,
        "k": k,
        "rank": rank,
        "labeller": labeller.as_ref().map(ToString::to_string),
    });
    if let Value::Object(values) = values { Ok(values) } else { Ok(Map::new()) }
}

fn path<'a>(name: &str, path: Option<&'a Path>) -> Result<Option<&'a str>> {
    path.map(|path| utf8(name, path)).transpose()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command, SubmitEngine};

    fn call(flags: &[&str]) -> Result<Value> {
        let words = ["headspan", "submit", "ray", "m,n"].iter().chain(flags);
        let Command::Submit { engine: SubmitEngine::Ray(arguments) } = Cli::try_parse_from(words)?.command else {
            anyhow::bail!("another command");
        };
        arguments.call()
    }

    #[test]
    fn what_is_not_given_is_left_to_the_package() -> Result<()> {
        let call = call(&["--configs", "no such folder"])?;
        let expected = json!({
            "models": ["m", "n"], "num_cpus": 1.0, "num_gpus": 0.0, "retries": 3, "config": [], "settings": {},
            "strict": false,
        });
        assert_eq!(call, expected);
        Ok(())
    }

    #[test]
    fn all_flags_become_arguments() -> Result<()> {
        let flags = [
            "--checkpoint=/c",
            "--architecture=ViT-B-32",
            "--quick-gelu=false",
            "--image-size=32",
            "--images=s3://b/a.tar",
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
            "--runs=/r",
            "--dataset=d",
            "--set=textspan.rank=6",
            "--set=data.path=my photos",
            "--set=images.strict=true",
            "--tasks=9",
            "--num-cpus=0.5",
            "--num-gpus=1",
            "--retries=0",
            "--in-flight=8",
            "--address=local",
            "--configs=/",
        ];
        let expected = json!({
            "models": ["m", "n"], "checkpoint": "/c", "architecture": "ViT-B-32", "quick_gelu": false, "image_size": 32,
            "images": "s3://b/a.tar", "classes": "/k", "limit": 7, "texts": "/t", "device": "cuda:1", "layers": "8,9",
            "batch_size": 3, "keep": "sample:9", "strict": true, "k": 4, "rank": 5, "labeller": "lexicon",
            "config": ["/f"], "runs": "/r", "dataset": "d", "configs": "/",
            "settings": { "textspan.rank": 6, "data.path": "my photos", "images.strict": true },
            "tasks": 9, "num_cpus": 0.5, "num_gpus": 1.0, "retries": 0, "in_flight": 8, "address": "local",
        });
        assert_eq!(call(&flags)?, expected);
        Ok(())
    }

    #[test]
    fn amounts_below_zero_are_refused() {
        for flag in ["--num-gpus=-1", "--num-cpus=nan", "--num-cpus=inf", "--num-gpus=two"] {
            assert!(call(&[flag]).is_err(), "{flag}");
        }
    }
}
