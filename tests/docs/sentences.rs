//! Sentences of the documentation are short.

use crate::pages::{docs, split, without_code};

/// A sentence with more words has to be read twice.
const MAX_WORDS: usize = 40;

#[test]
fn no_sentence_of_the_documentation_is_too_long() {
    let mut faults = Vec::new();
    for page in docs() {
        for (line, sentence) in sentences(&page.text) {
            let words = sentence.split_whitespace().count();
            if words > MAX_WORDS {
                let location = format!("{}:{line}", page.path.display());
                faults.push(format!("{location}: {words} words: {sentence}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The sentences of paragraphs and list items with the line where their paragraph begins. Code and tables have none.
fn sentences(text: &str) -> Vec<(usize, String)> {
    let (_, prose) = split(text);
    let mut paragraphs: Vec<(usize, String)> = Vec::new();
    let mut expected_line = 0;
    for (number, line) in prose {
        let content = line.trim();
        let is_text = !content.is_empty() && !content.starts_with(['|', '#', '<']);
        let begins = number != expected_line || begins_list_item(content) || paragraphs.is_empty();
        if is_text && begins {
            paragraphs.push((number, without_code(content)));
        } else if is_text && let Some((_, paragraph)) = paragraphs.last_mut() {
            paragraph.push(' ');
            paragraph.push_str(&without_code(content));
        }
        expected_line = if is_text { number + 1 } else { 0 };
    }
    let split_up = paragraphs.iter().flat_map(|(line, paragraph)| {
        let sentences = paragraph
            .split_inclusive(". ")
            .flat_map(|part| part.split_inclusive("? "));
        sentences.map(|sentence| (*line, sentence.trim().to_owned()))
    });
    split_up.collect()
}

fn begins_list_item(content: &str) -> bool {
    let after_number = content.trim_start_matches(|char: char| char.is_ascii_digit());
    let is_numbered = after_number.len() < content.len() && after_number.starts_with(". ");
    is_numbered
        || ["- ", "* ", "> "]
            .iter()
            .any(|mark| content.starts_with(mark))
}

#[test]
fn sentences_end_with_their_paragraph_and_skip_code_and_tables() {
    let text = "# Heading\n\nOne `a b. c` here. Two is\nlong.\n- Three\n- Four\n\n| a. b |\n```text\nd. e\n```\nFive?\n";
    let found: Vec<_> = sentences(text)
        .into_iter()
        .map(|(_, sentence)| sentence)
        .collect();
    assert_eq!(
        found,
        [
            "One code here.",
            "Two is long.",
            "- Three",
            "- Four",
            "Five?"
        ]
    );
}
