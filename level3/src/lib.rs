//! Level 3: a payment gateway that never loses or doubles a payment.
