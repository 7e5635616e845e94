//! Reads PDFs with other programs.

use std::fs::{self, File};
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::tempdir;

/// Font with Chinese letters, which the built-in one lacks.
pub(crate) const CHINESE: &str = "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf";
/// Resolution in which pages are drawn, in dots for an inch.
const DPI: u32 = 150;

/// Returns the text of each page, with one blank between words.
pub(crate) fn pages_of(pdf: &[u8]) -> Vec<String> {
    let mut reader = Command::new("pdftotext")
        .args(["-layout", "-", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("poppler-utils is installed: .ci/test installs it");
    reader.stdin.take().unwrap().write_all(pdf).unwrap();
    let output = reader.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let pages = text.strip_suffix('\u{c}').unwrap_or(&text).split('\u{c}');
    let joined = |page: &str| page.split_whitespace().collect::<Vec<_>>().join(" ");
    pages.map(joined).collect()
}

/// Returns the text of all pages.
pub(crate) fn text_of(pdf: &[u8]) -> String {
    pages_of(pdf).join(" ")
}

/// A QR code on a page.
pub(crate) struct ReadCode {
    pub(crate) text: String,
    /// Its width without the margin.
    pub(crate) centimetres: f64,
}

/// Draws the pages of a PDF and reads the one QR code on each.
pub(crate) fn codes_of(pdf: &[u8]) -> Vec<ReadCode> {
    let folder = tempdir().unwrap();
    let file = folder.path().join("tickets.pdf");
    fs::write(&file, pdf).unwrap();
    let drawn = Command::new("pdftoppm")
        .args(["-r", &DPI.to_string(), "-png"])
        .args([&file, &folder.path().join("page")])
        .status();
    assert!(drawn.unwrap().success());
    let files = fs::read_dir(folder.path()).unwrap();
    let mut pages: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    pages.retain(|page| page.extension().is_some_and(|kind| kind == "png"));
    pages.sort();
    let read = |page: &PathBuf| {
        let output = Command::new("zbarimg")
            // Of other kinds it sees some in the dots of a QR code.
            .args(["-q", "--raw", "-Sdisable", "-Sqrcode.enable"])
            .arg(page)
            .output();
        let output = output.expect("zbar-tools is installed: .ci/test installs it");
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        ReadCode {
            text: text.trim_end().to_owned(),
            centimetres: f64::from(black_width(page)) / f64::from(DPI) * 2.54,
        }
    };
    pages.iter().map(read).collect()
}

/// Returns from where to where, in dots, a page has full black, which no other part of it has.
fn black_width(page: &Path) -> u32 {
    let file = BufReader::new(File::open(page).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut dots = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut dots).unwrap();
    assert_eq!(info.color_type, png::ColorType::Rgb);
    let mut black = (0..info.width).filter(|x| {
        let of = |y: u32| y as usize * info.line_size + *x as usize * 3;
        (0..info.height).any(|y| dots[of(y)..][..3] == [0, 0, 0])
    });
    let first = black.next().unwrap();
    black.next_back().unwrap() + 1 - first
}
