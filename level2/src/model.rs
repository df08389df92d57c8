//! What the dashboard shows: one type for each section, and all of them together.
//!
//! Money is counted in cents and a rating in tenths of a star, both in integers. A float would round
//! amounts when they are summed and could not be compared for equality.

use std::fmt;
use std::time::Duration;

/// An amount of money in US cents.
///
/// ```
/// use level2::model::Cents;
///
/// assert_eq!(Cents(36_550).to_string(), "$365.50");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cents(pub u64);

impl fmt::Display for Cents {
    /// Dollars with two decimals: `$365.50`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// A rating in tenths of a star, from 0 to 50.
///
/// ```
/// use level2::model::Rating;
///
/// assert_eq!(Rating { tenths: 43 }.to_string(), "4.3");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Rating {
    /// Tenths of a star: 43 stands for 4.3 stars.
    pub tenths: u8,
}

impl fmt::Display for Rating {
    /// Stars with one decimal: `4.3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.tenths / 10, self.tenths % 10)
    }
}

/// Today's sales.
///
/// ```
/// use level2::model::{Cents, Sales};
///
/// let sales = Sales { total: Cents(10_000), orders: 4, average_order: Cents(2_500) };
/// assert_eq!(format!("{} orders of {}", sales.orders, sales.average_order), "4 orders of $25.00");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sales {
    /// Turnover of the day.
    pub total: Cents,
    /// Number of orders.
    pub orders: u32,
    /// Mean value of an order, rounded to a cent.
    pub average_order: Cents,
}

/// Active users.
///
/// ```
/// use level2::source::{DashboardSource, SimulatedSource};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let users = SimulatedSource::default().users().await.unwrap();
/// assert_eq!((users.total, users.online, users.new_today), (1523, 487, 23));
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Users {
    /// Users active today.
    pub total: u32,
    /// Users online now.
    pub online: u32,
    /// Users who joined today.
    pub new_today: u32,
}

/// Pending orders.
///
/// ```
/// use level2::source::{DashboardSource, SimulatedSource};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let orders = SimulatedSource::default().orders().await.unwrap();
/// assert_eq!((orders.total, orders.urgent, orders.processing), (45, 12, 33));
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Orders {
    /// Orders not yet shipped.
    pub total: u32,
    /// The number of urgent orders among them.
    pub urgent: u32,
    /// Of these, the ones being packed.
    pub processing: u32,
}

/// One article that is running out.
///
/// ```
/// use level2::model::StockItem;
///
/// let item = StockItem { id: 205, name: "Product B".to_owned(), stock: 1 };
/// assert_eq!(format!("{}: {} left", item.name, item.stock), "Product B: 1 left");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StockItem {
    /// Article number.
    pub id: u32,
    /// Name in the shop.
    pub name: String,
    /// Pieces left.
    pub stock: u32,
}

/// Articles that are running out.
///
/// ```
/// use level2::source::{DashboardSource, SimulatedSource};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let low_stock = SimulatedSource::default().low_stock().await.unwrap();
/// assert_eq!((low_stock.total, low_stock.critical), (23, 5));
/// let names: Vec<_> = low_stock.items.iter().map(|item| item.name.as_str()).collect();
/// assert_eq!(names, ["Product A", "Product B", "Product C"]);
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LowStock {
    /// Number of articles below their minimum.
    pub total: u32,
    /// Of these, the ones that are nearly gone.
    pub critical: u32,
    /// The most urgent articles.
    pub items: Vec<StockItem>,
}

/// Recent reviews.
///
/// ```
/// use level2::source::{DashboardSource, SimulatedSource};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let reviews = SimulatedSource::default().reviews().await.unwrap();
/// assert_eq!((reviews.total, reviews.pending), (156, 8));
/// assert_eq!(reviews.average.to_string(), "4.3");
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reviews {
    /// Number of reviews.
    pub total: u32,
    /// Mean rating.
    pub average: Rating,
    /// Reviews waiting for moderation.
    pub pending: u32,
}

/// A section of the dashboard. Each has a source of its own.
///
/// ```
/// use level2::model::Section;
///
/// assert_eq!(Section::ALL.len(), 5);
/// assert_eq!(Section::LowStock.to_string(), "low-stock");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// The source of [`Sales`].
    Sales,
    /// The source of [`Users`].
    Users,
    /// The source of [`Orders`].
    Orders,
    /// The source of [`LowStock`].
    LowStock,
    /// The source of [`Reviews`].
    Reviews,
}

impl Section {
    /// All sections, in the order of the page.
    pub const ALL: [Self; 5] =
        [Self::Sales, Self::Users, Self::Orders, Self::LowStock, Self::Reviews];

    /// The name used in messages and on the command line: `low-stock`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sales => "sales",
            Self::Users => "users",
            Self::Orders => "orders",
            Self::LowStock => "low-stock",
            Self::Reviews => "reviews",
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The data of one section, whichever it is.
///
/// ```
/// use level2::model::{Orders, Section, SectionData};
///
/// let data = SectionData::Orders(Orders::default());
/// assert_eq!(data.section(), Section::Orders);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SectionData {
    /// Data of [`Section::Sales`].
    Sales(Sales),
    /// Data of [`Section::Users`].
    Users(Users),
    /// Data of [`Section::Orders`].
    Orders(Orders),
    /// Data of [`Section::LowStock`].
    LowStock(LowStock),
    /// Data of [`Section::Reviews`].
    Reviews(Reviews),
}

impl SectionData {
    /// The section this data belongs to.
    #[must_use]
    pub const fn section(&self) -> Section {
        match self {
            Self::Sales(_) => Section::Sales,
            Self::Users(_) => Section::Users,
            Self::Orders(_) => Section::Orders,
            Self::LowStock(_) => Section::LowStock,
            Self::Reviews(_) => Section::Reviews,
        }
    }
}

/// The whole page: every section is there.
///
/// ```
/// use level2::model::{Dashboard, Orders, PartialDashboard, SectionData, Users};
/// # use level2::model::{LowStock, Reviews, Sales};
///
/// let page: PartialDashboard = [
///     SectionData::Users(Users { total: 1523, online: 487, new_today: 23 }),
///     SectionData::Orders(Orders { total: 45, urgent: 12, processing: 33 }),
/// #     SectionData::Sales(Sales::default()),
/// #     SectionData::LowStock(LowStock::default()),
/// #     SectionData::Reviews(Reviews::default()),
///     // and the other three
/// ]
/// .into_iter()
/// .collect();
/// let whole: Dashboard = page.complete().unwrap();
/// assert_eq!((whole.users.online, whole.orders.urgent), (487, 12));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dashboard {
    /// Today's sales.
    pub sales: Sales,
    /// Active users.
    pub users: Users,
    /// Pending orders.
    pub orders: Orders,
    /// Articles that are running out.
    pub low_stock: LowStock,
    /// Recent reviews.
    pub reviews: Reviews,
}

/// A whole page and how long it took to load.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use level2::parallel;
/// use level2::source::SimulatedSource;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let loaded = parallel::load(Arc::new(SimulatedSource::default())).await.unwrap();
/// assert_eq!(loaded.took, Duration::from_millis(600));
/// assert_eq!(loaded.dashboard.users.online, 487);
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The loaded page.
    pub dashboard: Dashboard,
    /// From the first poll of the load to its result, on tokio's clock.
    pub took: Duration,
}

/// A page of which any section may be missing.
///
/// ```
/// use level2::model::{Orders, PartialDashboard, Section, SectionData};
///
/// let mut page = PartialDashboard::default();
/// page.insert(SectionData::Orders(Orders { total: 12, urgent: 3, processing: 5 }));
/// assert_eq!(page.missing(), [Section::Sales, Section::Users, Section::LowStock, Section::Reviews]);
/// assert_eq!(page.complete(), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartialDashboard {
    /// Today's sales.
    pub sales: Option<Sales>,
    /// Active users.
    pub users: Option<Users>,
    /// Pending orders.
    pub orders: Option<Orders>,
    /// Articles that are running out.
    pub low_stock: Option<LowStock>,
    /// Recent reviews.
    pub reviews: Option<Reviews>,
}

impl PartialDashboard {
    /// Puts the data of one section in its place, replacing what was there.
    pub fn insert(&mut self, data: SectionData) {
        match data {
            SectionData::Sales(sales) => self.sales = Some(sales),
            SectionData::Users(users) => self.users = Some(users),
            SectionData::Orders(orders) => self.orders = Some(orders),
            SectionData::LowStock(low_stock) => self.low_stock = Some(low_stock),
            SectionData::Reviews(reviews) => self.reviews = Some(reviews),
        }
    }

    /// The sections that are missing, in the order of the page.
    #[must_use]
    pub fn missing(&self) -> Vec<Section> {
        let present = [
            self.sales.is_some(),
            self.users.is_some(),
            self.orders.is_some(),
            self.low_stock.is_some(),
            self.reviews.is_some(),
        ];
        Section::ALL.into_iter().zip(present).filter(|(_, there)| !there).map(|(s, _)| s).collect()
    }

    /// The whole page, or `None` when a section is missing.
    #[must_use]
    pub fn complete(self) -> Option<Dashboard> {
        Some(Dashboard {
            sales: self.sales?,
            users: self.users?,
            orders: self.orders?,
            low_stock: self.low_stock?,
            reviews: self.reviews?,
        })
    }
}

impl FromIterator<SectionData> for PartialDashboard {
    fn from_iter<I: IntoIterator<Item = SectionData>>(data: I) -> Self {
        let mut page = Self::default();
        data.into_iter().for_each(|section| page.insert(section));
        page
    }
}
