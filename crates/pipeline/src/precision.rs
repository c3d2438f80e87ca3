//! The precision of a run: as the settings say, or chosen by measuring and kept in the run.

use headspan_artifacts::{ArtifactError, RunDirectory, write_atomic};
use headspan_extract::{AUTO_ERROR, ImagesJob, PrecisionChoice, precision_error};
use headspan_model::{LoadedModel, ModelConfig, PassRate, Precision};
use serde::{Deserialize, Serialize};

use crate::{
    error::{PipelineError, Result},
    scope::{Parts, Scope},
    stages::IMAGES,
};

/// All that there are, the exact one first.
const PRECISIONS: [Precision; 3] = [Precision::Float32, Precision::Bfloat16, Precision::Float16];

/// Rounding must be worth it: less than this much faster than single precision is not.
const GAIN: f64 = 1.1;

/// What `images.precision = "auto"` chose for a run, and why. It stands in the run, so that each call that continues it, and each that asks for
/// its state, finds the same precision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Chosen {
    precision: Precision,
    /// The rates that were measured; none for a run that was made before it was asked to choose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rates: Vec<PassRate>,
    /// Error of the chosen precision on the first images, over the largest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<f64>,
}

impl Chosen {
    fn of(run: &RunDirectory) -> Result<Option<Self>> {
        let path = run.precision_record();
        let Some(bytes) = run.read(&path)? else { return Ok(None) };
        Ok(Some(serde_json::from_slice(&bytes).map_err(|source| ArtifactError::Record { path, source })?))
    }

    fn note(&self, run: &RunDirectory) -> Result<()> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        Ok(write_atomic(&run.precision_record(), &bytes)?)
    }

    /// What a run that was made already has.
    fn as_recorded(run: &RunDirectory) -> Result<Option<Self>> {
        let Some(record) = run.record(IMAGES)? else { return Ok(None) };
        // Named only where it is not the default.
        let precision = record.config.get("precision").map_or(Ok(Precision::Float32), Precision::deserialize)?;
        Ok(Some(Self { precision, rates: Vec::new(), error: None }))
    }
}

/// The precision of a run. One that is still to be chosen counts as single precision: nothing of such a run is there.
pub(crate) fn precision_of(choice: PrecisionChoice, run: &RunDirectory) -> Result<Precision> {
    match choice.fixed() {
        Some(precision) => Ok(precision),
        None => Ok(Chosen::of(run)?.map_or(Precision::Float32, |chosen| chosen.precision)),
    }
}

/// Chooses the precision of a run that is about to begin, if the settings leave it open and nothing was chosen before.
pub(crate) fn settle_precision(scope: &Scope<'_>) -> Result<()> {
    if scope.settings.images.precision.fixed().is_some() || Chosen::of(scope.run)?.is_some() {
        return Ok(());
    }
    let chosen = match Chosen::as_recorded(scope.run)? {
        Some(chosen) => chosen,
        None if scope.parts == Parts::All => choose(scope)?,
        None => return Err(PipelineError::PrecisionOfShards),
    };
    chosen.note(scope.run)
}

/// An error if shards of the run might choose each for itself.
pub(crate) fn require_precision(scope: &Scope<'_>) -> Result<()> {
    let is_open = scope.settings.images.precision.fixed().is_none() && Chosen::of(scope.run)?.is_none();
    if is_open { Err(PipelineError::PrecisionOfShards) } else { Ok(()) }
}

/// The fastest precision whose error on the first images is small enough.
fn choose(scope: &Scope<'_>) -> Result<Chosen> {
    let sources = scope.need_sources(IMAGES)?;
    let model = sources.model.get()?;
    let rates = model.pass_rates(&sources.model.files().config, &PRECISIONS)?;
    for precision in faster(&rates) {
        let job = ImagesJob {
            model,
            dataset: sources.dataset,
            run: scope.run,
            fingerprint: "",
            settings: &scope.settings.images,
            precision,
            shard: None,
            progress: &|_, _| std::ops::ControlFlow::Continue(()),
        };
        if let Some(error) = precision_error(&job)?.filter(|error| *error <= AUTO_ERROR) {
            tracing::info!("computing in {precision}: {}; error {error:.1e} of the largest value", told(&rates));
            return Ok(Chosen { precision, rates, error: Some(error) });
        }
    }
    tracing::info!("computing in float32: {}", told(&rates));
    Ok(Chosen { precision: Precision::Float32, rates, error: None })
}

/// What is faster than single precision by enough, the fastest first.
fn faster(rates: &[PassRate]) -> Vec<Precision> {
    let exact = rate_of(rates, Precision::Float32).unwrap_or(f64::INFINITY);
    let mut faster: Vec<&PassRate> = rates.iter().filter(|rate| rate.images_per_second >= GAIN * exact).collect();
    faster.sort_by(|one, other| other.images_per_second.total_cmp(&one.images_per_second));
    faster.into_iter().map(|rate| rate.precision).collect()
}

fn rate_of(rates: &[PassRate], precision: Precision) -> Option<f64> {
    rates.iter().find(|rate| rate.precision == precision).map(|rate| rate.images_per_second)
}

fn told(rates: &[PassRate]) -> String {
    let rates: Vec<String> =
        rates.iter().map(|rate| format!("{} {:.1}", rate.precision, rate.images_per_second)).collect();
    format!("{} images a second through two blocks", rates.join(", "))
}

/// Says so where a precision that was asked for is slower than single precision on this processor. On a GPU nothing is timed: compiling its
/// kernels twice would take longer than it tells.
pub(crate) fn warn_of_slow_precision(precision: Precision, model: &LoadedModel, config: &ModelConfig) -> Result<()> {
    if precision == Precision::Float32 || !model.on_cpu() {
        return Ok(());
    }
    let rates = model.pass_rates(config, &[Precision::Float32, precision])?;
    if let (Some(exact), Some(rounded)) = (rate_of(&rates, Precision::Float32), rate_of(&rates, precision))
        && rounded < exact
    {
        tracing::warn!("`images.precision = \"{precision}\"` is slower than float32 on this machine: {}", told(&rates));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use headspan_artifacts::RunId;

    use super::*;

    fn rate(precision: Precision, images_per_second: f64) -> PassRate {
        PassRate { precision, images_per_second }
    }

    #[test]
    fn the_fastest_comes_first_and_a_small_gain_is_none() {
        use Precision::{Bfloat16, Float16, Float32};
        let of =
            |rates: [f64; 3]| faster(&[rate(Float32, rates[0]), rate(Bfloat16, rates[1]), rate(Float16, rates[2])]);
        assert_eq!(of([10.0, 10.9, 9.0]), []);
        assert_eq!(of([10.0, 18.0, 9.0]), [Bfloat16]);
        assert_eq!(of([10.0, 18.0, 20.0]), [Float16, Bfloat16]);
        assert_eq!(faster(&[rate(Float32, 10.0)]), []);
    }

    #[test]
    fn what_was_chosen_stays() -> Result<(), Box<dyn std::error::Error>> {
        let runs = tempfile::tempdir()?;
        let run = RunDirectory::create(runs.path(), &RunId::new("set", "model")?)?;
        assert_eq!(precision_of(PrecisionChoice::Auto, &run)?, Precision::Float32);
        let rates = vec![rate(Precision::Float32, 10.0), rate(Precision::Bfloat16, 18.0)];
        Chosen { precision: Precision::Bfloat16, rates, error: Some(4e-3) }.note(&run)?;
        assert_eq!(precision_of(PrecisionChoice::Auto, &run)?, Precision::Bfloat16);
        assert_eq!(precision_of(PrecisionChoice::Float32, &run)?, Precision::Float32);
        fs_err::write(run.precision_record(), "{}")?;
        assert!(precision_of(PrecisionChoice::Auto, &run).is_err());
        Ok(())
    }
}
