//! Profiles in `~/.aws/config` and `~/.aws/credentials`: the library reads the environment and roles alone.

use std::{collections::HashMap, io, path::PathBuf, process::Command};

use object_store::aws::AmazonS3ConfigKey;
use serde::Deserialize;

/// Lines of a profile.
#[derive(Debug, Default)]
pub(super) struct Profile(HashMap<String, String>);

/// What a program that gives credentials prints.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Given {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

/// The profile that `AWS_PROFILE` names, else `default`. Empty where there are no files.
pub(super) fn read() -> io::Result<Profile> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let home = set("HOME").or_else(|| set("USERPROFILE")).map(PathBuf::from).unwrap_or_default();
    let file = |variable: &str, name: &str| set(variable).map_or_else(|| home.join(".aws").join(name), PathBuf::from);
    let named = set("AWS_PROFILE").or_else(|| set("AWS_DEFAULT_PROFILE"));
    let name = named.as_deref().unwrap_or("default");
    let mut lines = HashMap::new();
    let (mut found, config) = (false, file("AWS_CONFIG_FILE", "config"));
    for (path, section) in [
        (config.clone(), if name == "default" { name.to_owned() } else { format!("profile {name}") }),
        (file("AWS_SHARED_CREDENTIALS_FILE", "credentials"), name.to_owned()),
    ] {
        let text = match fs_err::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let own = section_of(&text, &section);
        found |= own.is_some();
        lines.extend(own.unwrap_or_default());
    }
    if let Some(name) = named.filter(|_name| !found) {
        let message = format!("AWS_PROFILE names the profile `{name}`, which `{}` does not have", config.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    Profile(lines).with_process()
}

/// Lines of a section, by their names in lower case; none if it is not there.
fn section_of(text: &str, wanted: &str) -> Option<HashMap<String, String>> {
    let (mut within, mut lines) = (false, None);
    for line in text.lines().map(str::trim) {
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.split(']').next()) {
            within = name.split_whitespace().eq(wanted.split_whitespace());
            if within {
                lines.get_or_insert_with(HashMap::new);
            }
        } else if let Some((key, value)) = line.split_once('=').filter(|_line| within) {
            lines.get_or_insert_with(HashMap::new).insert(key.trim().to_lowercase(), value.trim().to_owned());
        }
    }
    lines
}

impl Profile {
    /// Asks the program of `credential_process`, which is how single sign-on and vaults are bound in.
    fn with_process(mut self) -> io::Result<Self> {
        let Some(command) =
            self.0.get("credential_process").filter(|_command| !self.0.contains_key("aws_access_key_id"))
        else {
            return Ok(self);
        };
        let shell = if cfg!(windows) { ["cmd", "/C"] } else { ["sh", "-c"] };
        let output = Command::new(shell[0]).arg(shell[1]).arg(command).output()?;
        // Neither what it printed nor why it cannot be read is shown: it holds keys.
        let given: Given = Some(output.stdout)
            .filter(|_printed| output.status.success())
            .and_then(|printed| serde_json::from_slice(&printed).ok())
            .ok_or_else(|| io::Error::other("the program of `credential_process` gave no credentials"))?;
        self.0.insert("aws_access_key_id".to_owned(), given.access_key_id);
        self.0.insert("aws_secret_access_key".to_owned(), given.secret_access_key);
        self.0.extend(given.session_token.map(|token| ("aws_session_token".to_owned(), token)));
        Ok(self)
    }

    /// What the profile sets.
    pub(super) fn settings(&self) -> Vec<(AmazonS3ConfigKey, String)> {
        let keys = [
            ("aws_access_key_id", AmazonS3ConfigKey::AccessKeyId),
            ("aws_secret_access_key", AmazonS3ConfigKey::SecretAccessKey),
            ("aws_session_token", AmazonS3ConfigKey::Token),
            ("region", AmazonS3ConfigKey::Region),
            ("endpoint_url", AmazonS3ConfigKey::Endpoint),
        ];
        keys.into_iter().filter_map(|(name, key)| Some((key, self.0.get(name)?.clone()))).collect()
    }
}

/// Whether a setting is one of those that say who asks.
pub(super) fn is_key(key: &AmazonS3ConfigKey) -> bool {
    matches!(key, AmazonS3ConfigKey::AccessKeyId | AmazonS3ConfigKey::SecretAccessKey | AmazonS3ConfigKey::Token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_its_own_section() {
        let text = "# x\n[default]\nregion = a\n[profile  lab]\nregion=b\n; y\naws_access_key_id = K = 1\n[other]\nregion = c\n";
        let lab = section_of(text, "profile lab").unwrap_or_default();
        assert_eq!((lab.len(), lab["region"].as_str(), lab["aws_access_key_id"].as_str()), (2, "b", "K = 1"));
        assert!(section_of(text, "lab").is_none());
    }

    #[cfg(unix)]
    #[test]
    fn a_program_gives_credentials() -> io::Result<()> {
        let command = r#"printf '{"Version":1,"AccessKeyId":"a","SecretAccessKey":"b"}'"#;
        let profile = Profile(HashMap::from([("credential_process".to_owned(), command.to_owned())])).with_process()?;
        assert_eq!(profile.settings().len(), 2);
        let silent =
            Profile(HashMap::from([("credential_process".to_owned(), "echo secret".to_owned())])).with_process();
        assert!(silent.is_err_and(|error| !error.to_string().contains("echo")));
        Ok(())
    }
}
