//! What a task's URI means, and what it is called in the sandbox.

use crate::{Failure, Kind, Packing};
use sha2::{Digest as _, Sha256};
use std::path::{Component, Path, PathBuf};

/// Longest URI, and longest name in a sandbox.
const URI_BYTES: usize = 8 << 10;
const NAME_BYTES: usize = 255;
const PATH_BYTES: usize = 1024;

/// Where a URI leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// To a server, with TLS if true.
    Server {
        /// Whether with TLS.
        tls: bool,
        /// Its name or address.
        host: String,
        /// Its port.
        port: u16,
        /// Path and query.
        path: String,
        /// User and password, as they are.
        login: Option<String>,
    },
    /// To a file of the host: an absolute path without `..`.
    File(PathBuf),
}

/// A URI of a task. It is shown without what may be secret: user, password and query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    /// Where it leads.
    pub place: Place,
    shown: String,
}

impl std::fmt::Display for Uri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

fn wrong(problem: impl Into<String>) -> Failure {
    Failure::new(Kind::Uri, problem)
}

impl Uri {
    /// Reads a URI.
    ///
    /// # Errors
    /// What is wrong with it. Nothing of it is repeated but its scheme.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        if text.len() > URI_BYTES {
            return Err(wrong(format!("it is longer than {URI_BYTES} bytes")));
        }
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(wrong("it holds control characters"));
        }
        if text.starts_with('/') {
            return Self::file(text);
        }
        let split = scheme_of(text)
            .and_then(|scheme| Some((scheme, text.get(scheme.len()..)?.strip_prefix("://")?)));
        let Some((scheme, rest)) = split else {
            return Err(wrong("it is neither http://, https://, file:/// nor an absolute path"));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "http" => Self::server(false, rest),
            "https" => Self::server(true, rest),
            "file" => match rest.strip_prefix("localhost").unwrap_or(rest) {
                path if path.starts_with('/') => Self::file(&decoded(path)?),
                _ => Err(wrong("it names a file of another host; use file:///PATH")),
            },
            _ => {
                let scheme: String = scheme.chars().take(20).collect();
                Err(wrong(format!(
                    "{scheme:?} is not fetched; use http, https, file or an absolute path"
                )))
            }
        }
    }

    fn file(text: &str) -> Result<Self, Failure> {
        let path = PathBuf::from(text);
        if path.components().any(|part| part == Component::ParentDir) || text.contains('\0') {
            return Err(wrong("a path with '..' is not fetched"));
        }
        Ok(Self { shown: text.to_owned(), place: Place::File(path) })
    }

    fn server(tls: bool, rest: &str) -> Result<Self, Failure> {
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let (login, address) = match authority.rsplit_once('@') {
            Some((login, address)) => (Some(decoded(login)?), address),
            None => (None, authority),
        };
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                let port = port.parse().ok().filter(|port| *port > 0);
                (host, port.ok_or_else(|| wrong("its port is none from 1 to 65535"))?)
            }
            _ => (address, if tls { 443 } else { 80 }),
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_name = |host: &str| {
            !host.is_empty()
                && host.len() <= 253
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        };
        let fine =
            bare.map_or_else(|| is_name(host), |v6| v6.parse::<std::net::Ipv6Addr>().is_ok());
        if !fine {
            return Err(wrong("it names no host"));
        }
        let path = if tail.starts_with('/') { tail.to_owned() } else { format!("/{tail}") };
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong("its path is not printable ASCII; write others as %20"));
        }
        let scheme = if tls { "https" } else { "http" };
        let before = path.split('?').next().unwrap_or_default();
        let query = if path.contains('?') { "?..." } else { "" };
        let shown = format!("{scheme}://{address}{before}{query}");
        let host = bare.unwrap_or(host).to_owned();
        Ok(Self { place: Place::Server { tls, host, port, path, login }, shown })
    }

    /// The SHA-256 of where it leads, in hexadecimal digits, whoever asks there: user and password
    /// are no part of it.
    pub(crate) fn digest(&self) -> String {
        let place = match &self.place {
            Place::Server { tls, host, port, path, .. } => format!("{tls} {host} {port} {path}"),
            Place::File(path) => path.display().to_string(),
        };
        Sha256::digest(place).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Where a redirection of a server leads, seen from here.
    pub(crate) fn redirected(&self, location: &str) -> Result<Self, Failure> {
        let Place::Server { tls, host, port, path, .. } = &self.place else {
            return Err(wrong("a file does not lead elsewhere"));
        };
        let scheme = if *tls { "https" } else { "http" };
        let own =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let absolute = if scheme_of(location).is_some() {
            location.to_owned()
        } else if let Some(rest) = location.strip_prefix("//") {
            format!("{scheme}://{rest}")
        } else if location.starts_with('/') {
            format!("{scheme}://{own}{location}")
        } else {
            let path = path.split('?').next().unwrap_or_default();
            if location.starts_with('?') {
                return self.followed(&format!("{scheme}://{own}{path}{location}"));
            }
            let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
            format!("{scheme}://{own}{dir}/{location}")
        };
        self.followed(&absolute)
    }

    /// Where an absolute redirection leads.
    fn followed(&self, absolute: &str) -> Result<Self, Failure> {
        let Place::Server { tls, host, port, login, .. } = &self.place else {
            return Err(wrong("a file does not lead elsewhere"));
        };
        let mut next = Self::parse(absolute)
            .map_err(|error| wrong(format!("it leads to another place: {error}")))?;
        let Place::Server { tls: then, host: to, port: at, login: named, .. } = &mut next.place
        else {
            return Err(wrong("it leads to a file of this host, which is not followed"));
        };
        if *tls && !*then {
            return Err(wrong("it leads from https to http, which is not followed"));
        }
        // Who is told the password is the one who was to be told.
        if (&*to, &*at) == (host, port) && named.is_none() {
            named.clone_from(login);
        }
        Ok(next)
    }
}

/// The scheme of a URI: what stands before the first colon, if that comes before all else that
/// parts a URI. One that has none is relative.
fn scheme_of(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let begins = scheme.starts_with(|letter: char| letter.is_ascii_alphabetic());
    (begins && scheme.bytes().all(fine)).then_some(scheme)
}

/// With `%20` as a blank.
fn decoded(text: &str) -> Result<String, Failure> {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        if *byte != b'%' {
            out.push(*byte);
            at += 1;
            continue;
        }
        let digits = bytes.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
        let digits = digits.filter(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let value = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        out.push(value.ok_or_else(|| wrong("it has a '%' without two digits"))?);
        at += 3;
    }
    String::from_utf8(out)
        .ok()
        .filter(|text| !text.bytes().any(|byte| byte.is_ascii_control()))
        .ok_or_else(|| wrong("it has a '%' that is no character"))
}

/// The name of the file in the sandbox: `output_file`, or the last part of the path.
///
/// # Errors
/// That it is no name.
pub fn file_name(uri: &Uri, output_file: Option<&str>) -> Result<PathBuf, Failure> {
    let name = match output_file {
        Some(name) => PathBuf::from(name),
        None => {
            let path = match &uri.place {
                Place::Server { path, .. } => Path::new(path.split('?').next().unwrap_or("")),
                Place::File(path) => path.as_path(),
            };
            let last = path.file_name().map(PathBuf::from);
            last.ok_or_else(|| wrong("its path ends with no name; give it an output_file"))?
        }
    };
    let fits = |part: Component<'_>| match part {
        Component::Normal(name) => name.len() <= NAME_BYTES,
        _ => false,
    };
    let text = name.as_os_str();
    if text.is_empty() || text.len() > PATH_BYTES || !name.components().all(fits) {
        return Err(wrong(format!("{text:?} is no name in a sandbox (output_file)")));
    }
    if name.to_str().is_none_or(|name| name.bytes().any(|byte| byte.is_ascii_control())) {
        return Err(wrong(format!("{text:?} is no name in a sandbox (output_file)")));
    }
    if name == Path::new("stdout") || name == Path::new("stderr") {
        return Err(wrong(format!("{text:?} is the task's own log; give another output_file")));
    }
    Ok(name)
}

/// How a file of this name is packed, if it is.
pub fn packing(name: &Path) -> Option<Packing> {
    let name = name.file_name()?.to_str()?.to_ascii_lowercase();
    let ends =
        |endings: &[&str]| endings.iter().any(|end| name.len() > end.len() && name.ends_with(end));
    if ends(&[".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst"]) {
        return Some(Packing::Tar);
    }
    for (endings, what) in
        [([".tar.bz2", ".tbz2", ".bz2"], "bzip2"), ([".tar.xz", ".txz", ".xz"], "xz")]
    {
        if ends(&endings) {
            return Some(Packing::Unknown(what.to_owned()));
        }
    }
    if ends(&[".zip"]) {
        return Some(Packing::Zip);
    }
    ends(&[".gz", ".zst"]).then_some(Packing::Single)
}

#[cfg(test)]
mod tests;
