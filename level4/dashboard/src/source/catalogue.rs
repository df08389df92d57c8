//! The shop's data that does not change: products, sales and the texts of the overview.

use crate::shop::{Account, Found, Product, Sale, SalesPage};

const COLOURS: [&str; 8] = ["Blue", "Green", "Red", "Black", "White", "Amber", "Copper", "Grey"];
const THINGS: [&str; 15] = [
    "kettle", "lamp", "teapot", "chair", "shelf", "basket", "blanket", "clock", "mirror", "vase",
    "bowl", "candle", "cushion", "tray", "stool",
];
const CUSTOMERS: [&str; 12] = [
    "Ada Okafor",
    "Ben Silva",
    "Chen Wei",
    "Dana Novak",
    "Elif Kaya",
    "Farid Haddad",
    "Grace Kim",
    "Hugo Martin",
    "Ines Costa",
    "Jonas Berg",
    "Kira Patel",
    "Luca Rossi",
];
/// The sales of the history.
const SALES: u32 = 1000;
/// The sales of a page.
const PAGE: u32 = 30;
/// A search returns as many products at most.
const MOST: usize = 8;

/// The product at a place of the endless repetition of the catalogue.
#[must_use]
pub fn product(place: usize) -> Product {
    let (colour, thing) = (place % COLOURS.len(), place / COLOURS.len() % THINGS.len());
    let name = format!("{} {}", COLOURS[colour], THINGS[thing]);
    // Both numbers are small.
    let cents = 900 + 450 * thing as u32 + 75 * colour as u32;
    Product { name, cents }
}

/// How many products there are.
pub const PRODUCTS: usize = COLOURS.len() * THINGS.len();

/// The products whose names contain every word of `text`, whatever the case. An empty text matches none.
#[must_use]
pub fn search(text: &str) -> Found {
    let text = text.to_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    let matches = |product: &Product| {
        let name = product.name.to_lowercase();
        !words.is_empty() && words.iter().all(|word| name.contains(word))
    };
    let mut products: Vec<_> = (0..PRODUCTS).map(product).filter(matches).collect();
    let total = products.len();
    products.truncate(MOST);
    Found { products, total }
}

/// A page of the sales. Above the last page there are none.
#[must_use]
pub fn sales(page: u32) -> SalesPage {
    let pages = SALES.div_ceil(PAGE);
    let first = page.saturating_mul(PAGE);
    let numbers = first..first.saturating_add(PAGE).min(SALES);
    SalesPage {
        sales: numbers.map(|number| sale(number + 1)).collect(),
        previous: page.checked_sub(1),
        next: (page < pages - 1).then(|| page + 1),
    }
}

fn sale(number: u32) -> Sale {
    // 7 and 5 have no factor in common with the lengths, so neighbours differ.
    let Product { name, cents } = product(number as usize * 7);
    let customer = CUSTOMERS[number as usize * 5 % CUSTOMERS.len()];
    Sale { number, product: name, customer: customer.to_owned(), cents }
}

/// The user who is logged in.
#[must_use]
pub fn account() -> Account {
    Account { id: 1, name: CUSTOMERS[0].to_owned() }
}

/// What the user did last, at this call of the service.
#[must_use]
pub fn activities(call: u64) -> Vec<String> {
    let verbs = ["Counted", "Reordered", "Repriced", "Photographed"];
    texts(call, &verbs, "the")
}

/// What the user is to know, at this call of the service.
#[must_use]
pub fn notifications(call: u64) -> Vec<String> {
    let news = ["Low stock:", "New review:", "Return requested:"];
    texts(call, &news, "")
}

/// A text for each beginning, about products that differ between calls.
fn texts(call: u64, beginnings: &[&str], article: &str) -> Vec<String> {
    let call = usize::try_from(call % PRODUCTS as u64).unwrap_or(0);
    let text = |(place, beginning): (usize, &&str)| {
        let name = product(call * 3 + place * 11).name.to_lowercase();
        [*beginning, article, &name]
            .iter()
            .filter(|it| !it.is_empty())
            .copied()
            .collect::<Vec<_>>()
            .join(" ")
    };
    beginnings.iter().enumerate().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_finds_products_by_all_words() {
        let found = search("  BLUE kett ");
        assert_eq!((found.total, found.products[0].name.as_str()), (1, "Blue kettle"));
        assert_eq!((search("lamp").total, search("lamp").products.len()), (8, MOST));
        assert_eq!(search("e").products.len(), MOST);
        assert_eq!((search("").total, search("zebra").total), (0, 0));
    }

    #[test]
    fn pages_are_the_whole_history_once() {
        let mut numbers = Vec::new();
        let mut at = Some(0);
        while let Some(page) = at {
            let SalesPage { sales, previous, next } = sales(page);
            assert_eq!(previous, page.checked_sub(1));
            numbers.extend(sales.iter().map(|sale| sale.number));
            at = next;
        }
        assert_eq!(numbers, (1..=SALES).collect::<Vec<_>>());
        assert_eq!(sales(u32::MAX).sales, []);
    }

    #[test]
    fn the_texts_of_two_calls_differ() {
        assert_eq!(activities(1), activities(1));
        assert_ne!(activities(1), activities(2));
        assert_ne!(notifications(1), notifications(2));
    }
}
