//! The profile and its parts, with the fields that the assignment shows.

use serde::{Deserialize, Serialize};

/// The number of a user. Users are numbered from 1: no user has the id 0.
///
/// ```
/// use level1::model::UserId;
/// use level1::source::Request;
///
/// let user: UserId = 7;
/// assert_eq!(Request::User(user).to_string(), "user 7");
/// ```
pub type UserId = u64;

/// A user, as `/api/users/:id` returns it. Fields that a server sends beyond these are ignored.
///
/// ```
/// use level1::model::User;
///
/// let user: User =
///     serde_json::from_str(r#"{ "id": 1, "name": "Ann", "email": "ann@example.com", "age": 40 }"#)?;
/// assert_eq!((user.id, user.name.as_str()), (1, "Ann"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The user's number.
    pub id: UserId,
    /// The name to show.
    pub name: String,
    /// The address to write to.
    pub email: String,
}

/// One entry of `/api/users/:id/posts`.
///
/// The assignment's example has `likes` and no `body`, the public server that its solution talks to
/// has `body` and no `likes`. Both are kept where the source has them and are absent, in the value
/// and in its JSON, where it has not.
///
/// ```
/// use level1::model::Post;
///
/// let post: Post = serde_json::from_str(r#"{ "id": 7, "title": "Hello World", "likes": 10 }"#)?;
/// assert_eq!((post.likes, &post.body), (Some(10), &None));
/// assert_eq!(serde_json::to_string(&post)?, r#"{"id":7,"title":"Hello World","likes":10}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    /// The post's number.
    pub id: u64,
    /// The headline.
    pub title: String,
    /// How many readers liked it, if the source counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likes: Option<u64>,
    /// The text, if the source sends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// A user together with the posts, in the order in which the source lists them.
///
/// ```
/// use level1::model::Profile;
///
/// let profile: Profile = serde_json::from_str(
///     r#"{
///         "user": { "id": 1, "name": "Ann", "email": "ann@example.com", "city": "Oslo" },
///         "posts": [{ "id": 7, "title": "Hello World", "likes": 10 }]
///     }"#,
/// )?;
/// assert_eq!(profile.user.name, "Ann");
/// assert_eq!(profile.posts[0].likes, Some(10));
/// assert_eq!(profile.posts[0].body, None);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The user.
    pub user: User,
    /// The user's posts.
    pub posts: Vec<Post>,
}

/// One page of a paged API.
///
/// ```
/// use level1::model::Page;
///
/// let page: Page<u32> = serde_json::from_str(r#"{ "items": [1, 2], "has_next": false }"#)?;
/// assert_eq!(page.items, [1, 2]);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The items on this page, in order. A page may be empty and still not be the last.
    pub items: Vec<T>,
    /// Whether a page with the next number follows.
    pub has_next: bool,
}
