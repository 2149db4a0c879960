//! The skeleton of a text: how the most lenient servers compare text outside ASCII.
//!
//! Many servers find a file, a handler or a database row by an inexact name. NTFS and APFS ignore
//! letter case, and HFS+ ignores invisible characters (CVE-2014-9390). IIS and the best-fit tables
//! of Windows convert full-width letters to ASCII. The default collation of MySQL ignores accents.
//! Two texts with equal skeletons may be one name to such a server.
//!
//! Deliberately absent: letters of other scripts. The Windows best-fit table for Western Europe
//! converts some Greek letters to Latin ones, but following it would refuse names in Greek.

use icu_normalizer::DecomposingNormalizerBorrowed;
use icu_properties::props::{CanonicalCombiningClass, DefaultIgnorableCodePoint};
use icu_properties::{
    CodePointMapData, CodePointMapDataBorrowed, CodePointSetData, CodePointSetDataBorrowed,
};

const COMPATIBILITY: DecomposingNormalizerBorrowed<'static> =
    DecomposingNormalizerBorrowed::new_nfkd();
const IGNORABLE: CodePointSetDataBorrowed<'static> =
    CodePointSetData::new::<DefaultIgnorableCodePoint>();
const COMBINING_CLASS: CodePointMapDataBorrowed<'static, CanonicalCombiningClass> =
    CodePointMapData::new();

/// The characters of a decoded text in compatibility form, without letter case, accents and
/// invisible characters. White space becomes a space, and every slash `/`.
pub(super) fn skeleton(text: impl Iterator<Item = char>) -> impl Iterator<Item = char> {
    let compatible = COMPATIBILITY.normalize_iter(text);
    // Through upper case: some letters outside ASCII, such as the long s, have an ASCII upper case.
    // Lower case comes first because the capital sharp s folds only from its lower case.
    let lower = compatible.flat_map(char::to_lowercase);
    let without_case = lower
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase);
    // Changing the case may yield a letter with an accent again.
    COMPATIBILITY
        .normalize_iter(without_case)
        .filter(is_visible)
        .map(fold)
}

fn is_visible(character: &char) -> bool {
    let is_accent = COMBINING_CLASS.get(*character) != CanonicalCombiningClass::NotReordered;
    !is_accent && !IGNORABLE.contains(*character)
}

fn fold(character: char) -> char {
    match character {
        // The Windows best-fit tables convert the division and fraction slashes and the set minus.
        // The yen and won signs are the backslash of code pages 932 and 949.
        '\\' | '\u{a5}' | '\u{20a9}' | '\u{2044}' | '\u{2215}' | '\u{2216}' => '/',
        // Letters with a stroke have no decomposition in Unicode. Collations that ignore accents
        // ignore the stroke too (UTS #10), and so do the Windows best-fit tables.
        '\u{111}' => 'd',
        '\u{127}' => 'h',
        '\u{142}' => 'l',
        '\u{f8}' => 'o',
        '\u{167}' => 't',
        space if space.is_whitespace() => ' ',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> String {
        skeleton(text.chars()).collect()
    }

    #[test]
    fn texts_that_a_server_may_confuse_have_equal_skeletons() {
        for (text, expected) in [
            ("reports", "reports"),
            ("\u{ff32}\u{ff45}ports", "reports"),
            ("\u{24e1}epo\u{2b3}ts", "reports"),
            ("re\u{301}p\u{f6}rts", "reports"),
            ("\u{212a}eys", "keys"),
            ("u\u{17f}ers", "users"),
            ("adm\u{131}n", "admin"),
            ("ADM\u{130}N", "admin"),
            ("stra\u{df}e", "strasse"),
            ("o\u{fb03}ce", "office"),
            ("\u{3c3}\u{3c2}\u{3a3}", "\u{3c3}\u{3c3}\u{3c3}"),
            ("re\u{200b}po\u{ad}r\u{200d}ts\u{feff}", "reports"),
            ("\u{202e}reports\u{e0041}", "reports"),
            ("a\u{a0}\u{3000}\u{1680}\u{2028}b", "a    b"),
            ("a\u{ff0f}b\u{ff3c}c\u{2215}d", "a/b/c/d"),
            ("\u{ff0e}\u{2024}", ".."),
            ("\u{2025}", ".."),
            ("me\u{ff1b}x\u{ff1a}y\u{ff1f}z", "me;x:y?z"),
            ("fi\u{142}es\u{111}\u{f8}\u{127}\u{167}", "filesdoht"),
            ("\u{a5}..\u{20a9}\u{ffe5}\u{ffe6}", "/..///"),
            ("\u{43c}\u{435}", "\u{43c}\u{435}"),
            ("\u{304c}", "\u{304b}"),
        ] {
            assert_eq!(of(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn skeleton_is_its_own_skeleton(text in ".{0,12}") {
            let once = of(&text);
            prop_assert_eq!(of(&once), once);
        }
    }

    #[test]
    fn context_does_not_change_the_skeleton_of_a_character() {
        let blocks = [
            0..=0x33FF,
            0xA000..=0xABFF,
            0xF900..=0x104FF,
            0x1D000..=0x1F2FF,
            0xE0000..=0xE01FF,
        ];
        for character in blocks.into_iter().flatten().filter_map(char::from_u32) {
            let once: String = skeleton(std::iter::once(character)).collect();
            assert_eq!(of(&once), once, "{character:?}");
            assert_eq!(
                of(&format!("a{character}b")),
                format!("a{once}b"),
                "{character:?}"
            );
            assert!(!character.is_ascii() || once.len() == 1, "{character:?}");
        }
    }
}
