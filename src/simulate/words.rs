//! Names, descriptions and addresses of pictures: mostly what people write, sometimes what breaks careless programs.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// What a collection is named after, each with a category.
const THEMES: [(&str, &str); 12] = [
    ("Harbour Foxes", "art"),
    ("Pixel Monsoon", "art"),
    ("Copper Automata", "gaming"),
    ("Sleepy Volcanoes", "photography"),
    ("Aptos Alpinists", "sports"),
    ("Paper Comets", "art"),
    ("Tiny Orchestra", "music"),
    ("Moss Garden", "photography"),
    ("Night Ferry", "membership"),
    ("Glass Beetles", "collectibles"),
    ("Domain of Kites", "domains"),
    ("Walrus Academy", "collectibles"),
];

/// Names that a program must carry through unharmed. Neighbours in pairs (0 and 1, 2 and 3) differ in letter case only.
const SPECIALS: [&str; 20] = [
    "Night Owl",
    "NIGHT OWL",
    "straße",
    "STRAßE",
    "東京の猫 №7",
    "Ω≈ç√∫˜µ≤ naïve café",
    "🦊🔥 Foxy 👩‍👩‍👧‍👦",
    "قطة بغداد",
    "כלב ים 12",
    "The \"Quoted\" One",
    "C:\\new\\table",
    "Lost Sock ",
    " leading space",
    "O'Brien; DROP TABLE tokens;--",
    "100%_wild*card?",
    "<b>bold</b> & co",
    "tab\tand\nline",
    "a::b::c",
    "{\"json\":[1,null]}",
    "Łódź e\u{301} vs é",
];

/// How many different special names there are: those above, and two that are very long.
pub const SPECIAL_NAMES: u32 = 22;

/// Every theme has an index below this.
pub const THEME_COUNT: usize = THEMES.len();

/// The special name of that number.
pub fn special(number: u32) -> String {
    match usize::try_from(number).ok().and_then(|at| SPECIALS.get(at)) {
        Some(name) => (*name).to_owned(),
        None if number.is_multiple_of(2) => "Long Way Home ".repeat(22)[..300].to_owned(),
        None => "ünterwegs 🚂 ".chars().cycle().take(2_000).collect(),
    }
}

/// The number of the name that differs from this one in letter case only.
pub const fn case_twin(number: u32) -> Option<u32> {
    if number < 4 { Some(number ^ 1) } else { None }
}

/// The plain name of a collection; `serial` keeps a creator's collections apart.
pub fn collection(theme: usize, serial: usize) -> String {
    let name = THEMES[theme % THEME_COUNT].0;
    if serial == 0 { name.to_owned() } else { format!("{name} {}", serial + 1) }
}

/// The category that a collection's creator chose.
pub fn category(theme: usize) -> &'static str {
    THEMES[theme % THEME_COUNT].1
}

/// The plain name of the `serial`-th token of a collection.
pub fn token(theme: usize, serial: u32) -> String {
    let singular = THEMES[theme % THEME_COUNT].0.trim_end_matches('s');
    format!("{singular} #{serial}")
}

/// A description: mostly one sentence, sometimes nothing, several lines, or another script.
pub fn description(rng: &mut ChaCha8Rng) -> &'static str {
    const DESCRIPTIONS: [&str; 8] = [
        "Drawn by hand, minted on Aptos.",
        "One of a kind. Holders vote on the next season.",
        "",
        "First line.\nSecond line, with a \"quote\" and a back\\slash.",
        "限定コレクション。保有者だけの特典があります。",
        "Proceeds go to the harbour museum 🌊",
        "مجموعة محدودة",
        "See https://example.org/?a=1&b=%20 for the traits.",
    ];
    DESCRIPTIONS[rng.random_range(0..DESCRIPTIONS.len())]
}

/// Where a picture or its metadata lies.
pub fn uri(rng: &mut ChaCha8Rng, serial: u64) -> String {
    let content: u64 = rng.random();
    match rng.random_range(0..10) {
        0 => format!("https://arweave.net/{content:016x}/{serial}.json"),
        1 => format!("https://example.org/nft/{serial}?size=large&v={}#top", content % 9),
        2 => String::new(),
        _ => format!("ipfs://bafybei{content:016x}/{serial}.png"),
    }
}
