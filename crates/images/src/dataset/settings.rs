use std::path::PathBuf;

use headspan_store::set_query_aside;
use serde::{Deserialize, Serialize};

use crate::sources::{DatasetKind, is_local};

/// A random subset that is the same in every run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Number of images.
    pub count: u64,
    /// Seed of the draw.
    #[serde(default)]
    pub seed: u64,
}

/// Where images come from and which of them count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatasetSettings {
    /// Folder, manifest, shard, folder of shards, or a pattern such as `shard-{000..099}.tar` or `shard-*.parquet`; on this machine, or
    /// the address of one, such as `s3://bucket/shard-*.tar`.
    pub path: PathBuf,
    /// Its format, or `auto` to go by the path.
    pub kind: DatasetKind,
    /// Class file: one `class` or `class,name` a line; the line's position is the class's index.
    pub classes: Option<PathBuf>,
    /// Folder that paths in a manifest or in Parquet rows are relative to; the file's own folder if none.
    pub root: Option<PathBuf>,
    /// Column of paths in a manifest.
    pub path_column: String,
    /// Column of classes in a manifest; empty: none. Another than the default must be there.
    pub class_column: String,
    /// Column of images in Parquet shards. Where the default is not there, the only column that holds images.
    pub image_column: String,
    /// Column of class numbers or class names in Parquet shards; empty: none. Another than the default must be there.
    pub label_column: String,
    /// A random subset.
    pub sample: Option<Sample>,
    /// At most so many images, after sampling.
    pub limit: Option<u64>,
    /// Files larger than this many bytes are not read.
    pub max_file_bytes: u64,
}

impl DatasetSettings {
    /// The same images, without the queries of addresses, which may be signatures: this process remembers them. So they are in no
    /// record and in no message.
    #[must_use]
    pub fn with_queries_aside(mut self) -> Self {
        let paths = [Some(&mut self.path), self.classes.as_mut(), self.root.as_mut()];
        for path in paths.into_iter().flatten() {
            *path = set_query_aside(path);
        }
        self
    }

    /// The same images, with absolute paths where they lie on this machine.
    pub fn absolute(mut self) -> std::io::Result<Self> {
        let paths = [Some(&mut self.path), self.classes.as_mut(), self.root.as_mut()];
        for path in paths.into_iter().flatten().filter(|path| is_local(path)) {
            *path = std::path::absolute(&path)?;
        }
        Ok(self)
    }

    /// How many images a listing needs, if it may end before the data set does: a sample is drawn from all.
    pub(crate) fn wanted(&self) -> Option<usize> {
        // One image tells an empty data set from an empty selection.
        self.limit.filter(|_limit| self.sample.is_none()).map(|limit| limit.max(1) as usize)
    }

    /// Whether a listing of `count` images may end.
    pub(crate) fn enough(&self, count: usize) -> bool {
        self.wanted().is_some_and(|wanted| count >= wanted)
    }
}

impl Default for DatasetSettings {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            kind: DatasetKind::Auto,
            classes: None,
            root: None,
            path_column: "path".to_owned(),
            class_column: "class".to_owned(),
            image_column: "image".to_owned(),
            label_column: "label".to_owned(),
            sample: None,
            limit: None,
            max_file_bytes: 512 << 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn addresses_stay_as_they_are_without_their_queries() -> std::io::Result<()> {
        let settings = DatasetSettings {
            path: "https://host/a-{0..1}.tar?X-Amz-Signature=secret".into(),
            classes: Some("s3://bucket/classes.txt".into()),
            root: Some("images".into()),
            ..DatasetSettings::default()
        };
        let settings = settings.with_queries_aside().absolute()?;
        assert_eq!(settings.path, Path::new("https://host/a-{0..1}.tar"));
        assert_eq!(settings.classes.as_deref(), Some(Path::new("s3://bucket/classes.txt")));
        assert!(settings.root.is_some_and(|root| root.is_absolute() && root.ends_with("images")));
        Ok(())
    }
}
