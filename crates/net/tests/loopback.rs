//! Proxies and certificates, as the environment names them, against servers on loopback. The environment of a process is
//! everybody's: each request is made by this test program once more, as a child.

use std::{
    error::Error,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use headspan_net::{ClientSettings, Failure, NetError, Redirects, client, install_tls, read_body, send};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

const URL: &str = "HEADSPAN_NET_TEST_URL";
const VARIABLES: [&str; 8] =
    ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUEST_METHOD", URL];

/// What the child does: one request, and one line about it.
#[test]
#[ignore = "the other tests run it"]
fn asks() {
    let Ok(url) = std::env::var(URL) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let said = runtime.block_on(async {
        let seconds = Some(Duration::from_secs(10));
        let settings = ClientSettings { redirects: Redirects::Repeated, pause: None, whole: seconds };
        let client = client(&settings, &url).map_err(|error| told(&error))?;
        let response = send::<NetError>(&url, client.get(&url)).await.map_err(|failure| match failure {
            Failure::Final(error) => format!("final: {}", told(&error)),
            Failure::Passing { cause, .. } => format!("passing: {}", told(&*cause)),
        })?;
        let status = response.status().as_u16();
        let body = read_body(response, 100).await.map_err(|error| told(&error))?;
        Ok::<_, String>(format!("{status} {}", String::from_utf8_lossy(&body)))
    });
    writeln!(std::io::stdout(), "said: {said:?}").expect("written");
}

fn told(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Runs the child with some variables; what it said.
fn ask(url: &str, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["asks", "--exact", "--ignored", "--nocapture"]);
    for name in VARIABLES {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    let output = command.env(URL, url).envs(variables.iter().copied()).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = text.lines().find_map(|line| line.split_once("said: ").map(|(_, said)| said.to_owned()));
    said.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// A server of one kind, and what its clients said first.
struct Server {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// `serve` answers a connection and returns what it heard.
    fn start(serve: impl Fn(TcpStream) -> std::io::Result<String> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let (address, heard) = (listener.local_addr().expect("an address"), Arc::new(Mutex::new(Vec::new())));
        let (serve, log) = (Arc::new(serve), Arc::clone(&heard));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (serve, log) = (Arc::clone(&serve), Arc::clone(&log));
                std::thread::spawn(move || {
                    if let Ok(heard) = serve(stream) {
                        log.lock().expect("no panic before").push(heard);
                    }
                });
            }
        });
        Self { address, heard }
    }

    fn heard(&self) -> String {
        self.heard.lock().expect("no panic before").join("\n")
    }
}

/// Reads the head of a request and answers it.
fn answer(stream: impl Read + Write) -> std::io::Result<String> {
    let mut stream = BufReader::new(stream);
    let head = read_head(&mut stream)?;
    let stream = stream.get_mut();
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")?;
    stream.flush()?;
    Ok(head)
}

fn read_head(stream: &mut impl BufRead) -> std::io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head)
}

/// A proxy that connects its clients with whom they ask for.
fn tunnel(mut stream: TcpStream) -> std::io::Result<String> {
    let head = read_head(&mut BufReader::new(stream.try_clone()?))?;
    let target = head.split(' ').nth(1).unwrap_or_default();
    let mut server = TcpStream::connect(target)?;
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let (mut from_client, mut to_server) = (stream.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
    std::io::copy(&mut server, &mut stream)?;
    Ok(head)
}

/// A SOCKS5 proxy that is itself the server behind it; it hears the name that it was asked for.
fn socks(mut stream: TcpStream) -> std::io::Result<String> {
    let mut greeting = [0; 2];
    stream.read_exact(&mut greeting)?;
    let mut methods = vec![0; usize::from(greeting[1])];
    stream.read_exact(&mut methods)?;
    stream.write_all(&[5, 0])?;
    let mut request = [0; 5];
    stream.read_exact(&mut request)?;
    assert_eq!(request[..4], [5, 1, 0, 3], "a connection to a name");
    let mut name = vec![0; usize::from(request[4]) + 2];
    stream.read_exact(&mut name)?;
    name.truncate(name.len() - 2);
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    answer(stream)?;
    Ok(String::from_utf8_lossy(&name).into_owned())
}

fn certificates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates")
}

/// An HTTPS server whose certificate the test's own authority vouches for.
fn https() -> Server {
    install_tls();
    let certificate = CertificateDer::from_pem_file(certificates().join("server.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(certificates().join("server.key")).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
    let config = Arc::new(config.expect("they fit"));
    Server::start(move |stream| {
        let connection = ServerConnection::new(Arc::clone(&config)).map_err(std::io::Error::other)?;
        answer(StreamOwned::new(connection, stream))
    })
}

#[test]
fn a_proxy_for_http_is_asked_and_given_its_password() {
    let proxy = Server::start(answer);
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        let said = ask("http://model.test/v1", &[(variable, &format!("http://user:secret@{}", proxy.address))]);
        assert_eq!(said, r#"Ok("200 ok")"#, "{variable}");
    }
    let heard = proxy.heard().to_lowercase();
    assert_eq!(heard.matches("get http://model.test/v1 http/1.1").count(), 3, "{heard}");
    assert_eq!(heard.matches("proxy-authorization: basic dxnlcjpzzwnyzxq=").count(), 3, "{heard}");
}

#[test]
fn a_proxy_for_https_makes_a_tunnel() {
    let (server, proxy) = (https(), Server::start(tunnel));
    let authority = certificates().join("authority.pem");
    let variables = [
        ("HTTPS_PROXY", &*format!("http://{}", proxy.address)),
        ("SSL_CERT_FILE", authority.to_str().expect("a path")),
    ];
    let said = ask(&format!("https://localhost:{}/v1", server.address.port()), &variables);
    assert_eq!(said, r#"Ok("200 ok")"#);
    assert!(server.heard().starts_with("GET /v1 "), "{}", server.heard());
}

#[test]
fn a_socks_proxy_resolves_names_itself() {
    let proxy = Server::start(socks);
    let said = ask("http://model.test/v1", &[("ALL_PROXY", &format!("socks5h://{}", proxy.address))]);
    assert_eq!(said, r#"Ok("200 ok")"#);
    assert_eq!(proxy.heard(), "model.test");
}

#[test]
fn no_proxy_goes_around_it() {
    let server = Server::start(answer);
    let url = format!("http://{}/v1", server.address);
    let dead = ("HTTP_PROXY", "http://user:secret@127.0.0.1:9");
    assert_eq!(ask(&url, &[dead, ("NO_PROXY", "localhost, 127.0.0.0/8")]), r#"Ok("200 ok")"#);
    let said = ask(&url, &[dead]);
    assert!(said.contains("passing: no answer through the proxy `http://127.0.0.1:9`"), "{said}");
    assert!(!said.contains("secret"), "{said}");
}

#[test]
fn certificates_come_from_the_file_or_folder_that_is_named() {
    let server = https();
    let url = format!("https://localhost:{}/v1", server.address.port());
    let authority = certificates().join("authority.pem");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::copy(&authority, folder.path().join("authority.pem")).expect("copied");
    let text = |path: &Path| path.to_str().expect("a path").to_owned();
    for (variable, path) in [("SSL_CERT_FILE", &*authority), ("SSL_CERT_DIR", folder.path())] {
        assert_eq!(ask(&url, &[(variable, &text(path))]), r#"Ok("200 ok")"#, "{variable}");
    }
}

#[test]
fn a_certificate_of_nobody_known_is_refused_at_once() {
    let server = https();
    let said = ask(&format!("https://localhost:{}/v1", server.address.port()), &[]);
    // A machine without any certificates says that instead.
    let refused = said.contains("final: the certificate of") && said.contains("UnknownIssuer");
    assert!(refused || said.contains("the HTTP client could not be made"), "{said}");
    assert_eq!(server.heard(), "", "nothing was told to it");
}

#[test]
fn a_variable_that_names_no_certificates_says_so_and_plain_http_needs_none() {
    let server = Server::start(answer);
    for (variable, value) in [("SSL_CERT_FILE", "/does/not/exist"), ("SSL_CERT_DIR", "/does/not/exist")] {
        let said = ask("https://localhost:9/v1", &[(variable, value)]);
        assert!(said.contains(variable) && said.contains("/does/not/exist"), "{said}");
        assert_eq!(
            ask(&format!("http://{}/v1", server.address), &[(variable, value)]),
            r#"Ok("200 ok")"#,
            "{variable}"
        );
    }
}

#[test]
fn https_to_a_server_without_it_says_so() {
    let server = Server::start(|mut stream| {
        let mut some = [0; 16];
        stream.read_exact(&mut some)?;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")?;
        // What is left unread would reset the connection before the answer arrives.
        std::io::copy(&mut stream, &mut std::io::sink())?;
        Ok(String::new())
    });
    let authority = certificates().join("authority.pem");
    let variables = [("SSL_CERT_FILE", authority.to_str().expect("a path"))];
    let said = ask(&format!("https://localhost:{}/v1", server.address.port()), &variables);
    assert!(said.contains("final: the server of") && said.contains("does not speak HTTPS"), "{said}");
}

#[test]
fn secrets_of_an_address_are_not_in_errors() {
    let said = ask("http://user:secret@127.0.0.1:9/v1?key=secret", &[]);
    assert!(said.contains("passing: no answer") && !said.contains("secret"), "{said}");
}
