//! Flags of the explorer.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    path::PathBuf,
};

use clap::Args;

use super::{PipelineArgs, PlaceArgs, SourceArgs};

const EXPLORE_HELP: &str = "\
The explorer answers requests to the IP address it listens on, to localhost, and to the names given as --host-name; a page of any
other name cannot read a run (DNS rebinding). Requests that pages of other sites make are refused, except for links. Behind a proxy
that serves it as https://hub.example.org, add --host-name hub.example.org.

Examples:
  headspan explore                                       the demo, which is run first if it has not been
  headspan explore --dataset imagenet-val                every finished run of the data set
  headspan explore --listen 0.0.0.0 --host-name gpu-7.example.org --token SECRET
  headspan explore --dataset imagenet-val --save appendix --page '/r/imagenet-val/ViT-L-14_openai/head/L23.H7'";

/// Port, if the address names none.
const PORT: u16 = 7478;

/// Flags of `explore`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXPLORE_HELP)]
pub(crate) struct ExploreArgs {
    /// Models to show; default: every finished run of the data set, or the demo if there are no runs
    #[arg(value_delimiter = ',')]
    pub(crate) models: Vec<String>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Let pages of this machine, such as a notebook, show the explorer in a frame
    #[arg(long, conflicts_with = "save", help_heading = "Server")]
    pub(crate) framed: bool,
    /// Write pages with everything that they show to this folder, instead of serving them
    #[arg(long, value_name = "DIR", requires = "page", help_heading = "Static pages")]
    pub(crate) save: Option<PathBuf>,
    /// Page to write: its address without the server; may be given several times
    #[arg(long, value_name = "PATH", requires = "save", help_heading = "Static pages")]
    pub(crate) page: Vec<String>,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    source: SourceArgs,
}

/// Where a server listens, and for whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArgs {
    /// Address to listen on; a non-loopback address is reachable from other machines
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7478", value_parser = address, help_heading = "Server")]
    pub(crate) listen: SocketAddr,
    /// Name under which browsers reach the server, beside localhost; may be given several times
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = host_name, help_heading = "Server")]
    pub(crate) host_name: Vec<String>,
    /// Token that every request must carry: `Authorization: Bearer TOKEN`, or the password in a browser (any user name)
    #[arg(long, value_name = "TOKEN", env = "HEADSPAN_TOKEN", hide_env_values = true, value_parser = token, help_heading = "Server")]
    pub(crate) token: Option<String>,
    /// Number of questions answered at once; default: one per core
    #[arg(long, value_name = "N", help_heading = "Server")]
    pub(crate) workers: Option<NonZeroUsize>,
}

impl ExploreArgs {
    pub(crate) fn pipeline(&self) -> PipelineArgs {
        self.source.at(&self.place)
    }
}

/// An address with or without a port, `localhost`, or a port alone.
fn address(text: &str) -> Result<SocketAddr, String> {
    const EXPECTED: &str = "expected an IP address and a port, such as `0.0.0.0:7478` or `[::1]:7478`";
    let text = text.trim();
    if text.is_empty() {
        return Err(EXPECTED.to_owned());
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() && !host.contains(':') => (host, port.parse().ok()),
        _ => (text, None),
    };
    let host = if host.is_empty() || host.eq_ignore_ascii_case("localhost") { "127.0.0.1" } else { host };
    let at = |address: IpAddr| SocketAddr::new(address, port.unwrap_or(PORT));
    if let (Ok(port), None) = (text.parse::<u16>(), port) {
        return Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
    }
    let whole = text.parse::<SocketAddr>().ok();
    let found = whole.or_else(|| host.trim_matches(['[', ']']).parse().ok().map(at));
    found.ok_or_else(|| EXPECTED.to_owned())
}

/// A name as it stands in the header `Host`, without its port.
fn host_name(text: &str) -> Result<String, String> {
    let name = text.trim().trim_end_matches('.');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if name.is_empty() || !(name.chars().all(plain) || name.parse::<IpAddr>().is_ok()) {
        return Err("expected a name such as `gpu-7.example.org`, without scheme and port".to_owned());
    }
    Ok(name.to_owned())
}

/// An empty token would protect nothing, and one with other characters cannot stand in a header.
fn token(text: &str) -> Result<String, String> {
    // A file that a token is read from ends in a newline.
    let token = text.trim();
    if token.is_empty() {
        return Err("the token is empty".to_owned());
    }
    if token.chars().any(char::is_control) {
        return Err("a token has one line".to_owned());
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_leave_out_host_or_port() {
        for (text, expected) in [
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("0.0.0.0", "0.0.0.0:7478"),
            ("localhost:8080", "127.0.0.1:8080"),
            ("LOCALHOST", "127.0.0.1:7478"),
            ("8080", "127.0.0.1:8080"),
            (":8080", "127.0.0.1:8080"),
            ("[::1]:80", "[::1]:80"),
            ("::1", "[::1]:7478"),
            ("[::]", "[::]:7478"),
        ] {
            assert_eq!(address(text).map(|address| address.to_string()).as_deref(), Ok(expected), "{text}");
        }
        for wrong in ["", "gpu-7:80", "127.0.0.1:99999", "http://127.0.0.1:80", "-1"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn host_names_have_neither_scheme_nor_port() {
        assert_eq!(host_name("gpu-7.example.org.").as_deref(), Ok("gpu-7.example.org"));
        assert!(host_name("2001:db8::1").is_ok() && host_name("10.0.0.1").is_ok());
        for wrong in ["", "https://hub.example.org", "hub.example.org:8443", "*", "a b", "hub/"] {
            assert!(host_name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_token_from_a_file_loses_its_newline() {
        assert_eq!(token("secret\n").as_deref(), Ok("secret"));
        assert!(token(" \n").is_err() && token("two\nlines").is_err());
    }
}
