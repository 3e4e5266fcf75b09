//! Group `python`: a Python 3 and a virtual environment with an unchanged pymesos.
//!
//! pymesos depends on http-parser, whose published C file was generated for Python 3.7 and does
//! not compile from 3.11 on; so it is generated again from the package's own source by Cython.
//! pymesos itself is installed as published.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{create_dir, find_program, install, program, remove_dir, tail};
use crate::groups::Variables;
use crate::step;
use crate::workspace::Workspace;

const PYMESOS: &str = "pymesos==0.3.15";
const HTTP_PARSER: &str = "http-parser==0.9.0";
const BUILD_TOOLS: [&str; 3] = ["cython==3.0.12", "setuptools==75.8.0", "wheel==0.45.1"];
/// `imp` left Python in 3.12; http-parser's setup.py uses one function of it.
const IMP: &str = "\
import importlib.util


def load_source(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
";

/// `TEPUI_PYTHON`: the interpreter of a virtual environment that can import pymesos.
pub(crate) fn ready(workspace: &Workspace) -> Result<Variables, String> {
    let base = workspace.target.join("xtask/python");
    let python = base.join("venv/bin/python");
    if !can_import(&python, "pymesos") {
        remove_dir(&base)?;
        create_dir(&base)?;
        make(&base, &python)?;
        if !can_import(&python, "pymesos") {
            return Err("pymesos was installed but cannot be imported".to_owned());
        }
    }
    Ok(vec![("TEPUI_PYTHON", python.display().to_string())])
}

fn make(base: &Path, python: &Path) -> Result<(), String> {
    println!("  preparing a virtual environment with {PYMESOS}");
    let system = system_python()?;
    run(&system, &["-m", "venv", &base.join("venv").display().to_string()], base)?;
    let pip = |arguments: &[&str]| {
        let common = ["-m", "pip", "--quiet", "--disable-pip-version-check"];
        run(python, &[&common, arguments].concat(), base)
    };
    pip(&[&["install"], BUILD_TOOLS.as_slice()].concat())?;
    if !can_import(python, "imp") {
        provide_imp(python, base)?;
    }
    pip(&["download", "--no-deps", "--no-build-isolation", "--no-binary=:all:", HTTP_PARSER])?;
    run(Path::new("tar"), &["xzf", &archive(base)?], base)?;
    let source = base.join(HTTP_PARSER.replace("==", "-"));
    let cython = base.join("venv/bin/cython");
    run(&cython, &["http_parser/parser.pyx"], &source)?;
    pip(&["install", "--no-build-isolation", &source.display().to_string()])?;
    pip(&["install", PYMESOS])
}

/// A Python with `venv`, headers and a C compiler, installed where that is possible.
fn system_python() -> Result<PathBuf, String> {
    let python = program("python3", &["python3"])?;
    let headers = "import sysconfig, os; \
        assert os.path.exists(sysconfig.get_paths()['include'] + '/Python.h')";
    let complete = || {
        can_import(&python, "venv, ensurepip")
            && run(&python, &["-c", headers], Path::new("/")).is_ok()
            && find_program("cc").is_some()
    };
    if !complete() {
        install(
            "a Python that builds packages",
            &["python3-venv", "python3-dev", "gcc", "libc6-dev"],
        )?;
    }
    if complete() {
        Ok(python)
    } else {
        Err(format!("{} lacks venv, headers or a C compiler", python.display()))
    }
}

fn provide_imp(python: &Path, base: &Path) -> Result<(), String> {
    let mut command = Command::new(python);
    command
        .args(["-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"])
        .current_dir(base);
    let folder = step::quiet(command).map_err(|output| tail(&output))?;
    let file = Path::new(folder.trim()).join("imp.py");
    std::fs::write(&file, IMP).map_err(|error| format!("{}: {error}", file.display()))
}

fn archive(base: &Path) -> Result<String, String> {
    let entries = std::fs::read_dir(base).map_err(|error| error.to_string())?;
    entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .find(|name| name.ends_with(".tar.gz"))
        .ok_or_else(|| format!("pip fetched no archive of {HTTP_PARSER}"))
}

fn can_import(python: &Path, modules: &str) -> bool {
    run(python, &["-c", &format!("import {modules}")], Path::new("/")).is_ok()
}

fn run(program: &Path, arguments: &[&str], folder: &Path) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    step::quiet(command).map(|_| ()).map_err(|output| {
        format!("{} {}: {}", program.display(), arguments.join(" "), tail(&output))
    })
}
