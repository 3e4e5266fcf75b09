//! What an image consists of: OCI's index and manifest, or the list that `docker save` writes.

use crate::Digest;
use crate::blobs::{Blob, Blobs};
use crate::digest::Hashing;
use crate::error::Fault;
use crate::settings::{CONFIG_BYTES, Config, architecture};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Read as _;

const MANIFEST_BYTES: u64 = 4 << 20;
const LAYERS: usize = 512;
/// Indices within indices.
const NESTED: usize = 4;
/// OCI's name of an image in a layout.
const REF: &str = "org.opencontainers.image.ref.name";
/// The same with the repository, as containerd and Docker write it.
const FULL_REF: &str = "io.containerd.image.name";

/// How to make a root file system.
pub(crate) struct Recipe {
    /// The digest of the configuration, which names all layers.
    pub(crate) id: Digest,
    pub(crate) config: Vec<u8>,
    /// Lowest first.
    pub(crate) layers: Vec<LayerBlob>,
}

pub(crate) struct LayerBlob {
    pub(crate) name: String,
    /// Of the blob as it is kept, when the manifest says.
    pub(crate) packed: Option<Digest>,
    /// Of what it unpacks to.
    pub(crate) unpacked: Digest,
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    #[serde(default)]
    platform: Option<Platform>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

/// An entry of `manifest.json` in what `docker save` writes.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

fn parse<'a, T: Deserialize<'a>>(what: &str, text: &'a [u8]) -> Result<T, Fault> {
    serde_json::from_slice(text)
        .map_err(|error| Fault::Unfit(format!("its {what} is not understood: {error}")))
}

/// The recipe in these blobs; none if they are no image but, perhaps, a root file system.
///
/// `tag` chooses among several images, `digest` (of the manifest or the configuration) among all.
pub(crate) fn recipe(
    blobs: &Blobs,
    tag: Option<&str>,
    digest: Option<Digest>,
) -> Result<Option<Recipe>, Fault> {
    if blobs.find("oci-layout")?.is_some() && blobs.find("index.json")?.is_some() {
        let text = blobs.text("index.json", MANIFEST_BYTES)?;
        let index: Index = parse("index.json", &text)?;
        return layout(blobs, index, tag, digest).map(Some);
    }
    let Some(list) = blobs.find("manifest.json")? else { return Ok(None) };
    let mut text = Vec::new();
    list.take(MANIFEST_BYTES).read_to_end(&mut text).map_err(Fault::reading("manifest.json"))?;
    // A root file system may have a file of this name.
    let Ok(list) = serde_json::from_slice::<Vec<Saved>>(&text) else { return Ok(None) };
    saved(blobs, list, tag, digest).map(Some)
}

fn layout(
    blobs: &Blobs,
    mut index: Index,
    tag: Option<&str>,
    digest: Option<Digest>,
) -> Result<Recipe, Fault> {
    let mut tag = tag;
    for _ in 0..NESTED {
        let chosen = choose(&index.manifests, tag, digest)?;
        let named: Digest = chosen.digest.parse().map_err(Fault::Unfit)?;
        let text = checked(blobs, "manifest", named)?;
        if !chosen.media_type.contains("index") && !chosen.media_type.contains("manifest.list") {
            let digest = digest.filter(|digest| *digest != named);
            return manifest(blobs, &text, digest);
        }
        index = parse("index", &text)?;
        tag = None;
    }
    Err(Fault::Unfit("it has indices within indices".into()))
}

/// The one that was meant: by digest, by name, by this machine, or because there is no other.
fn choose<'a>(
    all: &'a [Descriptor],
    tag: Option<&str>,
    digest: Option<Digest>,
) -> Result<&'a Descriptor, Fault> {
    if let Some(digest) = digest.map(|digest| digest.to_string())
        && let Some(found) = all.iter().find(|one| one.digest == digest)
    {
        return Ok(found);
    }
    let name = |one: &Descriptor, tag: &str| {
        let is = |key: &str| one.annotations.get(key).is_some_and(|name| is_tag(name, tag));
        is(REF) || is(FULL_REF)
    };
    let ours = |one: &&Descriptor| {
        one.platform.as_ref().is_none_or(|p| p.os == "linux" && p.architecture == architecture())
    };
    let fitting: Vec<&Descriptor> = all.iter().filter(ours).collect();
    let named: Vec<&Descriptor> = match tag {
        Some(tag) => fitting.iter().copied().filter(|one| name(one, tag)).collect(),
        None => fitting.clone(),
    };
    match (&*named, &*fitting, tag) {
        ([one], _, _) => Ok(one),
        // Alone, it need not have a name.
        ([], [one], Some(_)) if !one.annotations.contains_key(REF) => Ok(one),
        ([], [], _) => Err(Fault::Unfit(format!("it has nothing for linux/{}", architecture()))),
        ([], _, Some(tag)) => Err(Fault::Unfit(format!("it has no image {tag:?}"))),
        _ => Err(Fault::Unfit(
            "it holds several images: say which, as NAME:TAG or NAME@sha256:DIGEST".into(),
        )),
    }
}

/// A full name ends with its tag.
fn is_tag(name: &str, tag: &str) -> bool {
    name == tag || name.rsplit_once(':').is_some_and(|(_, its)| its == tag)
}

fn manifest(blobs: &Blobs, text: &[u8], digest: Option<Digest>) -> Result<Recipe, Fault> {
    let manifest: Manifest = parse("manifest", text)?;
    let id: Digest = manifest.config.digest.parse().map_err(Fault::Unfit)?;
    if digest.is_some_and(|digest| digest != id) {
        return Err(Fault::Unfit("it has no image of that digest".into()));
    }
    let config = checked(blobs, "configuration", id)?;
    let mut layers = Vec::new();
    for layer in &manifest.layers {
        let digest: Digest = layer.digest.parse().map_err(Fault::Unfit)?;
        layers.push((path_of(digest), Some(digest)));
    }
    finish(id, config, layers)
}

fn saved(
    blobs: &Blobs,
    list: Vec<Saved>,
    tag: Option<&str>,
    digest: Option<Digest>,
) -> Result<Recipe, Fault> {
    let named = |one: &&Saved| {
        tag.is_none_or(|tag| one.repo_tags.iter().flatten().any(|name| is_tag(name, tag)))
    };
    let all: Vec<&Saved> = list.iter().filter(named).collect();
    let chosen = match (&*all, &*list) {
        ([one], _) => one,
        ([], [one]) if one.repo_tags.as_ref().is_none_or(Vec::is_empty) => one,
        ([], _) => return Err(Fault::Unfit(format!("it has no image {:?}", tag.unwrap_or("")))),
        _ => {
            let text = "it holds several images: say which, as NAME:TAG";
            return Err(Fault::Unfit(text.into()));
        }
    };
    let config = blobs.text(&chosen.config, CONFIG_BYTES)?;
    let id = Digest::of(&config);
    // `docker save` names the configuration by its digest: HEX.json, or blobs/sha256/HEX.
    let stem = chosen.config.rsplit('/').next().unwrap_or_default().trim_end_matches(".json");
    let promised = format!("sha256:{stem}").parse::<Digest>().ok().filter(|p| *p != id);
    if let Some(expected) = promised.or(digest.filter(|digest| *digest != id)) {
        return Err(Fault::Damaged { what: "the configuration".into(), expected, found: id });
    }
    let layers = chosen.layers.iter().map(|name| (name.clone(), None)).collect();
    finish(id, config, layers)
}

fn finish(
    id: Digest,
    config: Vec<u8>,
    blobs: Vec<(String, Option<Digest>)>,
) -> Result<Recipe, Fault> {
    let parsed = Config::parse(&config)?;
    parsed.fits()?;
    let unpacked = parsed.layers()?;
    if unpacked.len() != blobs.len() || blobs.len() > LAYERS {
        return Err(Fault::Unfit(format!(
            "it has {} layers, {} digests of them, and an image has at most {LAYERS}",
            blobs.len(),
            unpacked.len()
        )));
    }
    let layers = blobs.into_iter().zip(unpacked);
    let layers = layers.map(|((name, packed), unpacked)| LayerBlob { name, packed, unpacked });
    // What it says is looked at before anything is unpacked.
    parsed.settings()?;
    Ok(Recipe { id, layers: layers.collect(), config })
}

/// A small blob by its digest.
fn checked(blobs: &Blobs, what: &str, expected: Digest) -> Result<Vec<u8>, Fault> {
    let text = blobs.text(&path_of(expected), MANIFEST_BYTES)?;
    let found = Digest::of(&text);
    match found == expected {
        true => Ok(text),
        false => Err(Fault::Damaged { what: format!("the {what}"), expected, found }),
    }
}

fn path_of(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

impl LayerBlob {
    pub(crate) fn open(&self, blobs: &Blobs) -> Result<Hashing<Blob>, Fault> {
        let blob = blobs.find(&self.name)?;
        let blob = blob.ok_or_else(|| Fault::Unfit(format!("it lacks the layer {}", self.name)))?;
        Ok(Hashing::new(blob))
    }

    /// What a layer turned out to be against what was promised.
    pub(crate) fn check(&self, packed: Digest, unpacked: Digest) -> Result<(), Fault> {
        let promised = [(self.packed, packed), (Some(self.unpacked), unpacked)];
        for (expected, found) in promised {
            if let Some(expected) = expected.filter(|expected| *expected != found) {
                return Err(Fault::Damaged {
                    what: format!("the layer {}", self.name),
                    expected,
                    found,
                });
            }
        }
        Ok(())
    }
}
