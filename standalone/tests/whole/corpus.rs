//! What the fuzz targets in `fuzz/` found worth keeping, on a stable compiler.

#[path = "../../../fuzz/targets.rs"]
mod targets;

use std::path::Path;

#[test]
fn each_file_of_the_fuzz_targets_corpus_is_taken_or_refused_as_it_should_be() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for target in targets::TARGETS {
        let files = std::fs::read_dir(corpus.join(target.name)).unwrap();
        let mut count = 0;
        for file in files {
            let path = file.unwrap().path();
            // Tells which file it was, if this ends in a panic.
            println!("{}", path.display());
            (target.run)(&std::fs::read(&path).unwrap());
            count += 1;
        }
        assert!(count > 0, "{} has no corpus", target.name);
    }
}
