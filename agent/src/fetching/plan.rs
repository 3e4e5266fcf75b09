//! What a task's URIs mean on this agent, before anything is fetched.

use fetch::{Failure, Finish, Kind, Place, Uri, file_name, packing};
use proto::FetchUri;
use std::path::{Path, PathBuf};

/// Files that one task may ask for.
const MOST: usize = 256;

/// A file that a task wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Want {
    /// Its URI, without what may be secret.
    pub(super) shown: String,
    pub(super) from: From,
    /// In the sandbox.
    pub(super) name: PathBuf,
    pub(super) finish: Finish,
}

/// Where it comes from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum From {
    File { root: PathBuf, path: PathBuf },
    Server { uri: String, cache: bool },
}

/// What is to be fetched.
///
/// # Errors
/// Which file cannot be, and why, as a clause.
pub(super) fn plan(uris: &[FetchUri], allowed: &[PathBuf]) -> Result<Vec<Want>, String> {
    if uris.len() > MOST {
        return Err(format!("fetching {} files: at most {MOST} are fetched", uris.len()));
    }
    let want = |(number, asked): (usize, &FetchUri)| {
        let uri = Uri::parse(&asked.value)
            .map_err(|failure| format!("fetching the URI in place {number}: {failure}"))?;
        let shown = uri.to_string();
        let wanted = of(asked, &uri, allowed);
        let (from, name, finish) =
            wanted.map_err(|failure| format!("fetching {shown}: {failure}"))?;
        Ok(Want { shown, from, name, finish })
    };
    uris.iter().enumerate().map(want).collect()
}

fn of(
    asked: &FetchUri,
    uri: &Uri,
    allowed: &[PathBuf],
) -> Result<(From, PathBuf, Finish), Failure> {
    let name = file_name(uri, asked.output_file.as_deref())?;
    let from = match &uri.place {
        Place::File(path) => below(path, allowed)?,
        Place::Server { .. } => From::Server { uri: asked.value.to_string(), cache: asked.cache },
    };
    let finish = match (asked.executable, asked.extract) {
        (true, _) => Finish::Executable,
        (false, true) => packing(&name).map_or(Finish::Plain, Finish::Unpack),
        (false, false) => Finish::Plain,
    };
    Ok((from, name, finish))
}

/// The innermost allowed directory that a file is in, by its words: links out of it are not followed.
fn below(path: &Path, allowed: &[PathBuf]) -> Result<From, Failure> {
    let within = allowed.iter().filter_map(|root| Some((root, path.strip_prefix(root).ok()?)));
    let innermost = within.max_by_key(|(root, _)| root.components().count());
    let Some((root, path)) = innermost else {
        let problem = "files of the host are not allowed from there on this agent (--fetch-from)";
        return Err(Failure::new(Kind::NotAllowed, problem));
    };
    Ok(From::File { root: root.clone(), path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(value: &str) -> FetchUri {
        FetchUri {
            value: value.into(),
            executable: false,
            extract: true,
            cache: false,
            output_file: None,
        }
    }

    #[test]
    fn files_are_taken_out_of_allowed_directories_only() {
        let allowed = [PathBuf::from("/srv"), PathBuf::from("/srv/inner")];
        let wants = plan(&[uri("/srv/inner/f"), uri("file:///srv/g.tar")], &allowed).unwrap();
        let at = |root: &str, path: &str| From::File { root: root.into(), path: path.into() };
        assert_eq!(wants[0].from, at("/srv/inner", "f"));
        assert_eq!(wants[1].from, at("/srv", "g.tar"));
        assert_eq!(wants[1].finish, Finish::Unpack(fetch::Packing::Tar));
        for path in ["/srvx/f", "/etc/passwd", "/"] {
            let refusal = plan(&[uri(path)], &allowed).unwrap_err();
            assert!(refusal.starts_with(&format!("fetching {path}: ")), "{refusal}");
        }
        let refusal = plan(&[uri("/etc/passwd")], &[]).unwrap_err();
        assert!(refusal.ends_with("(--fetch-from)"), "{refusal}");
    }

    #[test]
    fn what_cannot_be_is_named_without_its_secrets() {
        let refusal = plan(&[uri("/a"), uri("ftp://me:secret@h/f")], &["/".into()]).unwrap_err();
        assert!(refusal.starts_with("fetching the URI in place 1: "), "{refusal}");
        assert!(!refusal.contains("secret"), "{refusal}");
        let bad = FetchUri { output_file: Some("../x".into()), ..uri("http://me:secret@h/f?k=v") };
        let refusal = plan(&[bad], &[]).unwrap_err();
        assert!(refusal.starts_with("fetching http://h/f?...: "), "{refusal}");
        let many = vec![uri("http://h/f"); MOST + 1];
        assert!(plan(&many, &[]).unwrap_err().contains("at most 256"));
    }

    #[test]
    fn executables_are_not_unpacked() {
        let asked = FetchUri { executable: true, cache: true, ..uri("https://h/a.zip") };
        let want = plan(&[asked], &[]).unwrap().remove(0);
        assert_eq!(want.finish, Finish::Executable);
        assert_eq!(want.from, From::Server { uri: "https://h/a.zip".into(), cache: true });
        let asked = FetchUri { extract: false, ..uri("https://h/a.zip") };
        assert_eq!(plan(&[asked], &[]).unwrap()[0].finish, Finish::Plain);
    }
}
