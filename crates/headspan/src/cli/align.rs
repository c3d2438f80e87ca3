use std::path::PathBuf;

use clap::Args;

use super::{DEFAULT_CONFIGS, DataArgs, DeviceArgs, ImagesArgs, PipelineArgs, PlaceArgs, WorkArgs, local_folder};

/// After the help of `align`.
pub(crate) const HELP: &str = "\
The folder DIR is a checkpoint: every command takes it as --checkpoint DIR. It refers to the files of both models, which must stay where
they are. Its labels are only as good as the map: look at R² and retrieval on the held-out images.

Examples:
  headspan align --images photos --from my-dinov2 --to ViT-L-14_openai --out dinov2-with-texts
  headspan run-all --checkpoint dinov2-with-texts --images photos";

/// Flags of `align`.
#[derive(Debug, Args)]
pub(crate) struct AlignArgs {
    /// Image tower: a checkpoint (as --checkpoint elsewhere), or the id of a known model
    #[arg(long, value_name = "TOWER")]
    pub(crate) from: String,
    /// CLIP whose texts the tower gets: a checkpoint, or the id of a known model
    #[arg(long, value_name = "CLIP")]
    pub(crate) to: String,
    /// Folder of the aligned model
    #[arg(long, value_name = "DIR", value_parser = local_folder)]
    pub(crate) out: PathBuf,
    /// Share of the images that the map is not fitted on, for its figures
    #[arg(long, value_name = "SHARE", default_value_t = 0.2, value_parser = held_out)]
    pub(crate) held_out: f64,
    #[command(flatten)]
    images: ImagesArgs,
    /// Maximum number of images [setting: data.limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Model and data")]
    limit: Option<u64>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Stop at the first bad image [setting: images.strict]
    #[arg(long)]
    strict: bool,
    /// Folder of configuration files
    #[arg(long, value_name = "DIR", default_value = DEFAULT_CONFIGS, help_heading = "Where")]
    pub(crate) configs: PathBuf,
    /// Any setting by its key, such as data.kind="folder"; may be given several times
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Where")]
    set: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl AlignArgs {
    pub(crate) fn pipeline(&self) -> PipelineArgs {
        PipelineArgs {
            place: PlaceArgs { configs: self.configs.clone(), set: self.set.clone(), ..PlaceArgs::default() },
            images: self.images.clone(),
            data: DataArgs { limit: self.limit, ..DataArgs::default() },
            device: self.device.clone(),
            work: WorkArgs { strict: self.strict, ..WorkArgs::default() },
            ..PipelineArgs::default()
        }
    }
}

fn held_out(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_not_a_number| "expected a number".to_owned())?;
    if share > 0.0 && share < 1.0 { Ok(share) } else { Err("expected a share above 0 and below 1".to_owned()) }
}
