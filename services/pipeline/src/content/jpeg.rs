//! Whether a JPEG is all there. Decoders fill up what is missing and say nothing, so its markers are followed to the end.

/// Whether the end marker is reached from the start, segment by segment (ITU T.81, annex B).
pub(super) fn has_end(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        let Some(marker) = next_marker(bytes, &mut at) else {
            return false;
        };
        match marker {
            0xd9 => return true,
            // Markers without a length: fill, stuffed data, restarts, start of image.
            0x00 | 0x01 | 0xff | 0xd0..=0xd8 => {}
            _ => {
                let Some(length) = bytes.get(at..at + 2) else {
                    return false;
                };
                at += usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
            }
        }
    }
}

/// Finds the next 0xff and the byte after it. Between segments that is at once; in the data of a scan, whatever lies before is data.
fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    let rest = bytes.get(*at..)?;
    let found = rest.iter().position(|byte| *byte == 0xff)?;
    let marker = *rest.get(found + 1)?;
    // A run of 0xff is padding: the last of them starts the marker.
    *at += found + if marker == 0xff { 1 } else { 2 };
    Some(marker)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: [u8; 18] = [
        0xff, 0xd8, 0xff, 0xe1, 0, 4, 0xff, 0xd9, 0xff, 0xda, 0, 2, 7, 0xff, 0, 8, 0xff, 0xd9,
    ];

    #[test]
    fn the_end_of_an_embedded_preview_is_not_the_end() {
        assert!(has_end(&WHOLE));
        for cut in 0..WHOLE.len() {
            assert!(!has_end(&WHOLE[..cut]), "cut at {cut}");
        }
    }

    #[test]
    fn what_follows_the_end_does_not_matter() {
        assert!(has_end(&[&WHOLE[..], b"camera trailer"].concat()));
    }
}
