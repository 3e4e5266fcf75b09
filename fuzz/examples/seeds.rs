//! Writes messages of every kind into `fuzz/corpus/TARGET/`, so that fuzzing begins with what is
//! right: `cargo run --manifest-path fuzz/Cargo.toml --example seeds`, from the repository's root.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use proto::{Encoding, Wire, recordio, testing};
use std::path::Path;

const SEEDS: usize = 200;

fn main() -> std::io::Result<()> {
    use Encoding::{Json, Protobuf};
    write("scheduler_call_protobuf", Protobuf, testing::call())?;
    write("scheduler_call_json", Json, testing::call())?;
    write("event_json", Json, testing::event())?;
    write("operator_call_json", Json, testing::operator_call())?;
    write("operator_call_json", Json, testing::operator_response())?;
    write("agent_link_protobuf", Protobuf, testing::agent_call())?;
    write("agent_link_protobuf", Protobuf, testing::agent_event())?;
    for encoding in [Json, Protobuf] {
        write("executor_api", encoding, testing::executor_call())?;
        write("executor_api", encoding, testing::executor_event())?;
        write("operator_api", encoding, testing::operator_call())?;
        write("operator_api", encoding, testing::operator_response())?;
        write("operator_api", encoding, testing::operator_event())?;
        write("operator_api", encoding, testing::resources())?;
        write("agent_api", encoding, testing::agent_api_call())?;
        write("agent_api", encoding, testing::agent_api_response())?;
    }
    let records: Vec<u8> = [&b"a"[..], b"", b"10\nx"].map(recordio::encode).concat();
    seed("recordio", "records", &records)
}

fn write<S>(target: &str, encoding: Encoding, strategy: S) -> std::io::Result<()>
where
    S: Strategy,
    S::Value: Wire,
{
    let kind = std::any::type_name::<S::Value>().replace("::", "_");
    let mut runner = TestRunner::deterministic();
    for i in 0..SEEDS {
        let tree = strategy
            .new_tree(&mut runner)
            .map_err(|reason| std::io::Error::other(reason.to_string()))?;
        seed(target, &format!("{kind}_{encoding:?}_{i}"), &tree.current().encode(encoding))?;
    }
    Ok(())
}

fn seed(target: &str, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let directory = Path::new("fuzz/corpus").join(target);
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join(name), bytes)
}
