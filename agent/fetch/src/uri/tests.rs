//! What is a URI, what it is called, and what is not shown of it.

use super::*;

fn refusal(text: &str) -> String {
    let failure = Uri::parse(text).unwrap_err();
    assert_eq!(failure.kind, Kind::Uri);
    failure.problem
}

#[test]
fn secrets_are_not_shown_and_are_sent() {
    let uri = Uri::parse("https://me:p%40ss@host.example:8443/a/b.tgz?token=x#part").unwrap();
    assert_eq!(uri.to_string(), "https://host.example:8443/a/b.tgz?...");
    let Place::Server { tls, host, port, path, login } = uri.place else { panic!() };
    assert!(tls);
    assert_eq!((host.as_str(), port, path.as_str()), ("host.example", 8443, "/a/b.tgz?token=x"));
    assert_eq!(login.as_deref(), Some("me:p@ss"));
    let text = refusal("ftp://me:secret@host/file");
    assert_eq!(text, "\"ftp\" is not fetched; use http, https, file or an absolute path");
    assert!(!refusal("http://me:secret@ho st/").contains("secret"));
    assert!(!refusal("me:secret@host/?u=https://x").contains("secret"));
}

#[test]
fn what_is_no_uri_is_refused() {
    for text in ["", "name", "a/b", "hdfs://h/f", "file://other/f", "http://", "http://h:0/"] {
        refusal(text);
    }
    for text in ["/a/../b", "file:///a/%2e%2e/b", "http://h/%20 x", "http://[::g]/", "/a\nb"] {
        refusal(text);
    }
    refusal(&format!("http://h/{}", "x".repeat(URI_BYTES)));
    let uri = Uri::parse("http://[::1]/f").unwrap();
    assert!(matches!(&uri.place, Place::Server { host, port: 80, .. } if host == "::1"));
    let file = Uri::parse("file:///a%20b/c").unwrap();
    assert_eq!(file.place, Place::File("/a b/c".into()));
}

#[test]
fn redirections_are_followed_where_that_is_safe() {
    let uri = Uri::parse("https://u:p@h/dir/file?q").unwrap();
    let login = |uri: &Uri| match &uri.place {
        Place::Server { login, .. } => login.clone(),
        Place::File(_) => None,
    };
    let near = uri.redirected("other").unwrap();
    assert_eq!(near.to_string(), "https://h:443/dir/other");
    assert_eq!(login(&near).as_deref(), Some("u:p"));
    for (to, wanted) in [
        ("/get?u=https://x/y", "/get?u=https://x/y"),
        ("get?u=https://x/y", "/dir/get?u=https://x/y"),
        ("a/b://c", "/dir/a/b://c"),
        ("?other=https://x", "/dir/file?other=https://x"),
        ("//h/x?u=a://b", "/x?u=a://b"),
        ("HTTPS://h/y", "/y"),
    ] {
        let next = uri.redirected(to).unwrap();
        let Place::Server { host, path, .. } = &next.place else { panic!("{to}") };
        assert_eq!((host.as_str(), path.as_str()), ("h", wanted), "{to}");
    }
    let far = uri.redirected("https://elsewhere/x").unwrap();
    assert_eq!(login(&far), None);
    for to in ["http://h/x", "file:///etc/passwd", "ftp://h/x", "mailto:me", "https:x"] {
        assert_eq!(uri.redirected(to).unwrap_err().kind, Kind::Uri, "{to}");
    }
}

#[test]
fn names_stay_in_the_sandbox() {
    let name = |uri: &str, given: Option<&str>| file_name(&Uri::parse(uri).unwrap(), given);
    assert_eq!(name("http://h/a/b.tar?x=/y", None), Ok("b.tar".into()));
    assert_eq!(name("http://h/a", Some("d/e")), Ok("d/e".into()));
    for given in ["", "/x", "../x", "a/../b", "stdout", "stderr", "a\nb"] {
        name("http://h/a", Some(given)).unwrap_err();
    }
    name("http://h/", None).unwrap_err();
    name("http://h/a", Some(&"x".repeat(256))).unwrap_err();
}

#[test]
fn packing_is_told_by_the_end_of_the_name() {
    let of = |name: &str| packing(Path::new(name));
    for name in ["a.tar", "a.TAR.GZ", "a.tgz", "a.tar.zst"] {
        assert_eq!(of(name), Some(Packing::Tar), "{name}");
    }
    assert_eq!(of("a.zip"), Some(Packing::Zip));
    assert_eq!(of("a.gz"), Some(Packing::Single));
    assert_eq!(of("a.tar.xz"), Some(Packing::Unknown("xz".into())));
    assert_eq!(of("a.tbz2"), Some(Packing::Unknown("bzip2".into())));
    for name in ["a", "a.jar", ".gz", "tar"] {
        assert_eq!(of(name), None, "{name}");
    }
}
