//! The QR code of a ticket as a picture, for mails, whose readers show no SVG.

use qrcode::{Color, EcLevel, QrCode};

/// Modules of the white margin of a drawing.
pub(crate) const QUIET: usize = 4;
/// Dots of a picture along one module.
const DOTS: usize = 6;

/// Makes the QR code of a ticket's code.
///
/// # Errors
/// The reason, for the log.
pub(crate) fn qr_code(code: &str) -> Result<QrCode, String> {
    QrCode::with_error_correction_level(code.as_bytes(), EcLevel::M)
        .map_err(|error| format!("no QR code can be drawn: {error}"))
}

/// Draws a code as a PNG picture.
///
/// # Errors
/// The reason, for the log.
pub(crate) fn picture(code: &str) -> Result<Vec<u8>, String> {
    let code = qr_code(code)?;
    let (width, dark) = (code.width(), code.to_colors());
    let side = (width + 2 * QUIET) * DOTS;
    let is_dark = |x: usize, y: usize| {
        let at = |place: usize| (place / DOTS).checked_sub(QUIET).filter(|it| *it < width);
        let place = at(x).zip(at(y));
        place.is_some_and(|(x, y)| dark[y * width + x] == Color::Dark)
    };
    // One bit a dot, 1 for white, and each line in whole bytes.
    let mut bits = vec![0_u8; side.div_ceil(8) * side];
    for y in 0..side {
        for x in (0..side).filter(|x| !is_dark(*x, y)) {
            bits[y * side.div_ceil(8) + x / 8] |= 0x80 >> (x % 8);
        }
    }
    let mut png = Vec::new();
    let written = (|| {
        let side = u32::try_from(side).unwrap_or(0);
        let mut encoder = png::Encoder::new(&mut png, side, side);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::One);
        encoder.write_header()?.write_image_data(&bits)
    })();
    written.map_err(|error| format!("no QR code can be drawn: {error}"))?;
    Ok(png)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_the_modules_of_the_code_within_a_white_margin() {
        let text = "FL2.night.tix_1.signature";
        let png = picture(text).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&png))
            .read_info()
            .unwrap();
        let mut bits = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bits).unwrap();
        let code = QrCode::with_error_correction_level(text, EcLevel::M).unwrap();
        let (side, width) = (info.width as usize, code.width());
        assert_eq!((side, info.height as usize), ((width + 8) * 6, side));
        let is_white =
            |x: usize, y: usize| bits[y * info.line_size + x / 8] & (0x80 >> (x % 8)) != 0;
        for y in 0..side {
            for x in 0..side {
                let is_inside = |at: usize| (24..side - 24).contains(&at);
                let is_dark =
                    is_inside(x) && is_inside(y) && code[(x / 6 - 4, y / 6 - 4)] == Color::Dark;
                assert_eq!(is_white(x, y), !is_dark, "{x} {y}");
            }
        }
    }
}
