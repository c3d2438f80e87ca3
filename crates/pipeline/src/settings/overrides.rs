use std::path::PathBuf;

use headspan_extract::{Keep, LayerSelection};
use headspan_label::LabellerName;
use headspan_model::DeviceChoice;
use serde::Serialize;

/// Declares a section of settings in which everything may be left out.
macro_rules! section {
    ($(#[doc = $what:literal])+ $name:ident { $($(#[doc = $field_doc:literal])+ $field:ident: $type:ty),+ $(,)? }) => {
        $(#[doc = $what])+
        #[derive(Debug, Clone, Default, PartialEq, Serialize)]
        pub struct $name {
            $($(#[doc = $field_doc])+ #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$type>,)+
        }
    };
}

section! {
    /// Settings that are stronger than all files and the environment: flags of the command line, arguments of a call. What
    /// is none stays as the weaker layers have it.
    Overrides {
        /// Folder of all runs.
        runs: PathBuf,
        /// Name of the data set.
        dataset: String,
        /// Checkpoint folder.
        checkpoint: PathBuf,
        /// Where the model runs.
        device: DeviceChoice,
        /// What the checkpoint's configuration does not say.
        model: ModelOverrides,
        /// The images.
        data: DataOverrides,
        /// How images are extracted.
        images: ImagesOverrides,
        /// The descriptions.
        texts: TextsOverrides,
        /// TEXTSPAN.
        textspan: TextspanOverrides,
        /// Labels.
        label: LabelOverrides,
    }
}

section! {
    /// Overrides of the data set.
    DataOverrides {
        /// Where the images are.
        path: PathBuf,
        /// Class file.
        classes: PathBuf,
        /// At most this many images.
        limit: u64,
    }
}

section! {
    /// Overrides of what is said of the model.
    ModelOverrides {
        /// Name of an architecture, instead of a configuration file.
        architecture: String,
        /// Whether the activation is QuickGELU.
        quick_gelu: bool,
        /// Side of the input in pixels.
        image_size: usize,
    }
}

section! {
    /// Overrides of the extraction.
    ImagesOverrides {
        /// Blocks whose heads are kept.
        layers: LayerSelection,
        /// Images of one forward pass.
        batch_size: usize,
        /// Images whose activations are stored.
        keep: Keep,
        /// A bad image stops the run.
        strict: bool,
    }
}

section! {
    /// Overrides of the descriptions.
    TextsOverrides {
        /// Pool file.
        file: PathBuf,
    }
}

section! {
    /// Overrides of TEXTSPAN.
    TextspanOverrides {
        /// Texts per head.
        texts: usize,
        /// Number of principal directions kept per head.
        rank: usize,
    }
}

section! {
    /// Overrides of the labels.
    LabelOverrides {
        /// The labeller.
        labeller: LabellerName,
    }
}

impl Overrides {
    /// Every path among them.
    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let data = self.data.as_ref();
        let paths = [
            self.runs.as_ref(),
            self.checkpoint.as_ref(),
            data.and_then(|data| data.path.as_ref()),
            data.and_then(|data| data.classes.as_ref()),
            self.texts.as_ref().and_then(|texts| texts.file.as_ref()),
        ];
        paths.into_iter().flatten()
    }
}
