"""Fxiaoke (纷享销客) as a stand-in: token rules, query rules and error codes over a changing tenant."""

from __future__ import annotations

import itertools
from collections import defaultdict, deque
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

from tests.standins.server import Answer, Request, StandIn

SHANGHAI = ZoneInfo("Asia/Shanghai")
APP_ID, APP_SECRET, PERMANENT_CODE = "FSAID_test", "app-secret-123456", "permanent-code-654321"
CORP_ID, OPEN_USER, CRM_USER, EA = "FSCID_test", "FSUID_admin", "1000", "acme"
TOKEN_LIFE, TOKEN_SAME, TOKEN_CALLS_A_MINUTE = 7200, 6600, 10
CALLS, CALL_SECONDS = 100, 20
PAGE_LIMIT, OFFSET_LIMIT = 100, 10_000

Record = dict[str, Any]

# The fields of a tenant's objects: api name -> (type, label). Every object has the common ones, too.
COMMON = {
    "_id": ("text", "数据ID"),
    "record_type": ("record_type", "业务类型"),
    "life_status": ("select_one", "生命状态"),
    "lock_status": ("select_one", "锁定状态"),
    "is_deleted": ("true_or_false", "是否删除"),
    "create_time": ("date_time", "创建时间"),
    "last_modified_time": ("date_time", "最后修改时间"),
    "created_by": ("employee", "创建人"),
    "owner": ("employee", "负责人"),
    "version": ("number", "版本"),
    "field_Xk2p9__c": ("text", "自定义字段"),
}
OBJECTS: dict[str, dict[str, tuple[str, str]]] = {
    "AccountObj": {
        "name": ("text", "客户名称"),
        "account_no": ("auto_number", "客户编号"),
        "account_level": ("select_one", "客户级别"),
        "industry_level1": ("select_one", "1级行业"),
        "tel": ("phone_number", "电话"),
    },
    "SalesOrderObj": {
        "name": ("auto_number", "销售订单编号"),
        "account_id": ("object_reference", "客户名称"),
        "order_amount": ("currency", "销售订单金额(元)"),
        "receivable_amount": ("formula", "待回款金额(元)"),
        "order_time": ("date", "下单日期"),
        "submit_time": ("date_time", "提交时间"),
    },
    "PaymentPlanObj": {
        "name": ("auto_number", "回款计划编号"),
        "account_id": ("object_reference", "客户名称"),
        "order_id": ("object_reference", "销售订单编号"),
        "plan_payment_amount": ("currency", "计划回款金额(元)"),
        "plan_payment_time": ("date", "计划回款日期"),
        "plan_payment_status": ("select_one", "状态"),
    },
    "PaymentObj": {
        "name": ("auto_number", "回款编号"),
        "account_id": ("object_reference", "客户名称"),
        "payment_amount": ("currency", "本次回款总金额(元)"),
        "payment_time": ("date", "回款日期"),
        "payment_term": ("select_one", "回款方式"),
        "submit_time": ("date_time", "提交时间"),
        "remark": ("long_text", "备注"),
    },
    "OrderPaymentObj": {
        "name": ("auto_number", "回款明细编号"),
        "account_id": ("object_reference", "客户名称"),
        "payment_id": ("master_detail", "回款编号"),
        "order_id": ("object_reference", "销售订单编号"),
        "payment_plan_id": ("object_reference", "回款计划编号"),
        "payment_amount": ("currency", "本次回款金额(元)"),
        "payment_time": ("date", "回款日期"),
        "payment_term": ("select_one", "回款方式"),
    },
    "RefundObj": {
        "name": ("auto_number", "退款编号"),
        "account_id": ("object_reference", "客户名称"),
        "order_id": ("object_reference", "销售订单编号"),
        "refunded_amount": ("currency", "退款金额(元)"),
        "refunded_time": ("date", "退款日期"),
        "remark": ("long_text", "备注"),
    },
    "ReturnedGoodsInvoiceObj": {
        "name": ("auto_number", "退货单编号"),
        "account_id": ("object_reference", "客户名称"),
        "order_id": ("object_reference", "销售订单编号"),
        "returned_goods_inv_amount": ("currency", "退货单金额(元)"),
        "returned_goods_time": ("date", "退货日期"),
        "returned_goods_reason": ("select_one", "退货原因"),
    },
    "AccountsReceivableNoteObj": {
        "name": ("auto_number", "应收单编号"),
        "account_id": ("object_reference", "客户名称"),
        "note_date": ("date", "应收日期"),
        "due_date": ("date", "到期日期"),
        "price_tax_amount": ("currency", "价税合计"),
        "tax_amount": ("currency", "税额"),
        "no_settled_amount": ("formula", "未核销金额"),
    },
    "MatchNoteDetailObj": {
        "name": ("auto_number", "核销单明细编号"),
        "match_note_id": ("master_detail", "核销单编号"),
        "ar_id": ("object_reference", "应收单编号"),
        "payment_id": ("object_reference", "回款编号"),
        "this_match_amount": ("currency", "本次核销金额"),
        "match_date": ("date", "核销日期"),
    },
    "Promise__c": {
        "name": ("text", "承诺编号"),
        "customer__c": ("object_reference", "客户"),
        "promised_amount__c": ("currency", "承诺金额"),
        "promised_date__c": ("date", "承诺付款日期"),
        "agreed_date__c": ("date", "承诺日期"),
    },
}
# What every object has, too, where the tenant has switched several currencies on.
CURRENCY = {
    "mc_currency": ("select_one", "币种"),
    "mc_exchange_rate": ("number", "汇率"),
}
OPTIONS = {
    ("AccountObj", "account_level"): {"1": "重点客户", "2": "普通客户"},
    ("AccountObj", "industry_level1"): {"A1": "制造业", "B2": "批发零售"},
}


def day_ms(day: date) -> int:
    """A date as Fxiaoke keeps it: midnight in Shanghai."""
    return int(datetime.combine(day, time(), SHANGHAI).timestamp() * 1000)


def moment_ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


class Fxiaoke(StandIn):
    """One tenant. Switches choose between behaviours that the vendor's pages leave open."""

    def __init__(
        self,
        *,
        invalid_rows: Literal["hidden", "returned"] = "returned",
        deleted_rows: Literal["hidden", "returned"] = "hidden",
        total_by_default: bool = False,
        total_name: Literal["total", "totalSize"] = "total",
        empty_fields: Literal["absent", "null"] = "absent",
        custom_path_for_standard: bool = False,
        between_includes_end: bool = True,
        multi_currency: bool = False,
        returns_are_open: bool = True,
        id_digits: int = 24,
    ) -> None:
        super().__init__()
        self.invalid_rows = invalid_rows
        self.deleted_rows = deleted_rows
        self.total_by_default = total_by_default
        self.total_name = total_name
        self.empty_fields = empty_fields
        self.custom_path_for_standard = custom_path_for_standard
        self.between_includes_end = between_includes_end
        self.returns_are_open = returns_are_open
        self.id_digits = id_digits
        more = CURRENCY if multi_currency else {}
        self.fields = {name: {**fields, **more} for name, fields in OBJECTS.items()}
        self.tenant: dict[str, dict[str, Record]] = defaultdict(dict)
        self.now = datetime(2026, 3, 2, 9, 0, tzinfo=SHANGHAI)
        self.denied: set[str] = set()
        self.daily_quota: int | None = None
        self.no_quota = False
        self._ids = itertools.count(1)
        self._tokens: list[tuple[str, float]] = []
        self._token_calls: deque[float] = deque()
        self._call_times: dict[str, deque[float]] = defaultdict(deque)
        self._trace_ids: set[str] = set()
        self._traces = itertools.count(1)

    # --- the tenant ---

    def tick(self, **by: float) -> None:
        """Move the tenant's business time."""
        self.now += timedelta(**by)

    def put(self, api_name: str, **fields: Any) -> str:
        """Create a record, or change the one whose `_id` is given; returns the id."""
        key = fields.pop("_id", None) or format(
            0x5F3A3DE57C60 * 16**12 + next(self._ids), f"0{self.id_digits}x"
        )
        stamp = moment_ms(self.now)
        old = self.tenant[api_name].get(key)
        record = old or {
            "_id": key,
            "name": f"{api_name[:3].upper()}-{len(self.tenant[api_name]) + 1:06d}",
            "record_type": "default__c",
            "life_status": "normal",
            "lock_status": "0",
            "is_deleted": False,
            "create_time": stamp,
            "created_by": [OPEN_USER],
            "owner": [OPEN_USER],
            "version": "0",
            "field_Xk2p9__c": "随便",
        }
        record = {**record, **{name: self._stored(value) for name, value in fields.items()}}
        record |= {"last_modified_time": stamp, "version": str(int(record["version"]) + 1)}
        self.tenant[api_name][key] = record
        return str(key)

    @staticmethod
    def _stored(value: Any) -> Any:
        if isinstance(value, datetime):
            return moment_ms(value)
        if isinstance(value, date):
            return day_ms(value)
        return str(value) if isinstance(value, Decimal | int) and not isinstance(value, bool) else value

    def invalidate(self, api_name: str, key: str) -> None:
        """作废: the first half of deleting."""
        self.put(api_name, _id=key, life_status="invalid")

    def delete(self, api_name: str, key: str) -> None:
        """The second half: the row is gone, or stays with a flag."""
        if self.deleted_rows == "returned":
            self.put(api_name, _id=key, life_status="invalid", is_deleted=True)
        else:
            del self.tenant[api_name][key]

    # --- the protocol ---

    def answer(self, request: Request) -> Answer:
        if request.path == "/cgi/corpAccessToken/get/V2":
            return self._token(request, "corpAccessToken", {"corpId": CORP_ID})
        if request.path == "/oauth2.0/token":
            return self._trace(request) or self._token(
                request, "accessToken", {"openUserId": CORP_ID, "appId": APP_ID, "ea": EA}
            )
        known = {
            "/cgi/crm/v2/data/query": self._query,
            "/cgi/crm/custom/v2/data/query": self._query,
            "/cgi/crm/v2/object/describe": self._describe,
            "/cgi/crm/v2/object/list": self._list,
            "/cgi/user/getByMobile": self._user,
        }
        if request.path not in known:
            return self.error(10006, f"the request uri=[{request.path}], apiName=[null] is not exists")
        if not request.body:
            return self.error(12004, "the request body is empty")
        return self._refused(request) or known[request.path](request)

    def error(self, code: int, message: str) -> Answer:
        return Answer(
            {
                "errorCode": code, "errorMessage": message, "errorDescription": message,
                "traceId": f"E-O.{EA}.{next(self._traces)}",
            }
        )  # fmt: skip

    def _ok(self, **more: Any) -> Answer:
        body = {"traceId": f"E-O.{EA}.{next(self._traces)}", "errorCode": 0, "errorMessage": "OK"}
        return Answer({**body, **more})

    def _token(self, request: Request, name: str, more: Record) -> Answer:
        body = request.body
        if self._over(self._token_calls, TOKEN_CALLS_A_MINUTE, 60):
            return self.error(30004, "token calls exceed 10 a minute")
        if body.get("appId") != APP_ID or body.get("appSecret") != APP_SECRET:
            return self.error(20006, "appId or appSecret is wrong")
        if body.get("permanentCode") != PERMANENT_CODE:
            return self.error(20015, "permanentCode is wrong")
        if name == "accessToken" and body.get("grantType") != "app_secret":
            return self.error(15002, "grantType is wrong")
        if not self._tokens or self.clock - self._tokens[-1][1] > TOKEN_SAME:
            self._tokens.append((f"T{len(self._tokens) + 1}-{'x' * 20}", self.clock))
        token, born = self._tokens[-1]
        return self._ok(**{name: token, "expiresIn": int(TOKEN_LIFE - (self.clock - born)), **more})

    def expire_tokens(self) -> None:
        """The server forgets every token, as after a change of the app."""
        self._tokens = [(token, born - TOKEN_LIFE) for token, born in self._tokens]

    def _valid(self, token: str | None) -> bool:
        return any(token == known and self.clock - born < TOKEN_LIFE for known, born in self._tokens)

    @staticmethod
    def _is_header_style(request: Request) -> bool:
        return "authorization" in request.headers

    def _trace(self, request: Request) -> Answer | None:
        trace = request.query.get("thirdTraceId")
        if not trace or trace in self._trace_ids:
            return self.error(15002, "thirdTraceId is missing or repeated")
        self._trace_ids.add(trace)
        return None

    def _refused(self, request: Request) -> Answer | None:
        """What stands before every call: the caller, the quota, the pace."""
        if self._is_header_style(request):
            refused = self._trace(request)
            if refused:
                return refused
            if not self._valid(request.headers["authorization"].removeprefix("Bearer ")):
                return self.error(20005, "accessToken is expired")
            if request.headers.get("x-fs-ea") != EA or request.headers.get("x-fs-userid") != CRM_USER:
                return self.error(20012, "x-fs-userid is not found")
        else:
            if not self._valid(request.body.get("corpAccessToken")):
                return self.error(20016, "corpAccessToken is expired")
            if request.body.get("corpId") != CORP_ID:
                return self.error(20017, "corpId is wrong")
            needs_user = not request.path.startswith("/cgi/user/")
            if needs_user and request.body.get("currentOpenUserId") != OPEN_USER:
                return self.error(20012, "openUserId is not found")
        if self.no_quota:
            return self.error(30003, "no quota of calls was bought")
        if self.daily_quota is not None:
            if self.daily_quota <= 0:
                return self.error(30002, "the daily quota is used up")
            self.daily_quota -= 1
        if self._over(self._call_times[request.path], CALLS, CALL_SECONDS):
            return self.error(30004, "calls exceed the limit")
        return None

    def _over(self, calls: deque[float], limit: int, seconds: float) -> bool:
        while calls and calls[0] <= self.clock - seconds:
            calls.popleft()
        if len(calls) >= limit:
            return True
        calls.append(self.clock)
        return False

    def _user(self, request: Request) -> Answer:
        if request.body.get("mobile") != "13800000000":
            return self._ok(empList=[])
        return self._ok(empList=[{"openUserId": OPEN_USER, "fullName": "集成管理员"}])

    def _list(self, request: Request) -> Answer:
        return self._ok(data={"objects": [{"describeApiName": name} for name in self.fields]})

    def _describe(self, request: Request) -> Answer:
        # One client sends `apiName` beside `data`, another inside it: both are taken.
        name = request.body.get("apiName") or (request.body.get("data") or {}).get("apiName")
        if name not in self.fields:
            return self.error(32000, f"the object {name} does not exist")
        if name in self.denied:
            return self.error(20014, f"no permission for {name}")
        fields = {}
        for field, (kind, label) in {**COMMON, **self.fields[name]}.items():
            fields[field] = {"api_name": field, "type": kind, "label": label}
            options = OPTIONS.get((name, field))
            if options:
                fields[field]["options"] = [{"value": v, "label": label} for v, label in options.items()]  # type: ignore[assignment]
        return self._ok(data={"describe": {"api_name": name, "fields": fields}})

    def _query(self, request: Request) -> Answer:
        data = request.body.get("data") or {}
        name, info = data.get("dataObjectApiName"), data.get("search_query_info") or {}
        is_custom_path = "/custom/" in request.path
        if name not in self.fields:
            return self.error(32000, f"the object {name} does not exist")
        if name.endswith("__c") != is_custom_path and not (is_custom_path and self.custom_path_for_standard):
            return self.error(32000, f"{name} is not served here")
        if name in self.denied:
            return self.error(20014, f"no permission for {name}")
        limit, offset = info.get("limit"), info.get("offset", 0)
        if not isinstance(limit, int) or not 1 <= limit <= PAGE_LIMIT or offset % limit:
            return self.error(15002, "limit or offset is wrong")
        if offset > OFFSET_LIMIT:
            return self.error(10013, f"offset out of range {OFFSET_LIMIT}")
        rows = [row for row in self.tenant[name].values() if self._visible(row)]
        try:
            for one in info.get("filters", ()):
                rows = [row for row in rows if self._holds(row, one)]
        except ValueError as error:
            return self.error(15002, str(error))
        for order in reversed(info.get("orders", ())):
            rows.sort(key=lambda row: row.get(order["fieldName"]) or "", reverse=not order["isAsc"])
        found = self._with_formulas(name, rows[offset : offset + limit])
        wanted = info.get("fieldProjection") or []
        unknown = [field for field in wanted if field not in {**COMMON, **self.fields[name]}]
        if unknown:
            return self.error(15002, f"unknown fields {unknown}")
        total = len(rows) if data.get("find_explicit_total_num", self.total_by_default) else 0
        page = {
            "dataList": [self._shown(name, row, wanted, request) for row in found],
            "offset": offset,
            "limit": limit,
            self.total_name: total,
        }
        return self._ok(errorDescription="success", data=page)

    def _with_formulas(self, name: str, rows: list[Record]) -> list[Record]:
        """Rows with what is open of them: a formula, whose change leaves no stamp."""
        told = {
            "SalesOrderObj": ("receivable_amount", "order_amount", "OrderPaymentObj", "order_id"),
            "AccountsReceivableNoteObj": (
                "no_settled_amount", "price_tax_amount", "MatchNoteDetailObj", "ar_id",
            ),
        }.get(name)  # fmt: skip
        if told is None:
            return rows
        field, whole, line, names = told
        lines = {"OrderPaymentObj": "payment_amount", "MatchNoteDetailObj": "this_match_amount"}
        less = [(line, lines[line], names)]
        if name == "SalesOrderObj" and not self.returns_are_open:
            less.append(("ReturnedGoodsInvoiceObj", "returned_goods_inv_amount", "order_id"))
        sums: dict[str, Decimal] = defaultdict(Decimal)
        for api_name, amount, target in less:
            for row in self.tenant[api_name].values():
                if row["life_status"] == "normal" and not row["is_deleted"] and row.get(target):
                    sums[row[target]] += Decimal(row[amount])
        return [{**row, field: str(Decimal(row.get(whole) or 0) - sums[row["_id"]])} for row in rows]

    def _visible(self, row: Record) -> bool:
        if row["is_deleted"] and self.deleted_rows == "hidden":
            return False
        return row["life_status"] != "invalid" or self.invalid_rows == "returned"

    def _holds(self, row: Record, one: Record) -> bool:
        value, operator, wanted = row.get(one["field_name"]), one["operator"], one["field_values"]
        if not isinstance(wanted, list):
            raise ValueError("field_values is not a list")
        first = wanted[0] if wanted else None
        if value is None:
            return operator in {"IS", "N", "NIN", "NLIKE", "NBETWEEN"}
        if operator in {"BETWEEN", "NBETWEEN"}:
            low, high = wanted
            inside = low <= value and (value <= high if self.between_includes_end else value < high)
            return inside == (operator == "BETWEEN")
        tests: dict[str, Any] = {
            "EQ": lambda: value == first,
            "N": lambda: value != first,
            "GT": lambda: value > first,
            "LT": lambda: value < first,
            "GTE": lambda: value >= first,
            "LTE": lambda: value <= first,
            "LIKE": lambda: str(first) in str(value),
            "NLIKE": lambda: str(first) not in str(value),
            "IS": lambda: False,
            "ISN": lambda: True,
            "IN": lambda: value in wanted,
            "NIN": lambda: value not in wanted,
            "STARTWITH": lambda: str(value).startswith(str(first)),
            "ENDWITH": lambda: str(value).endswith(str(first)),
            "CONTAINS": lambda: set(wanted) <= set(value),
        }
        if operator not in tests:
            raise ValueError(f"the operator {operator} does not exist")
        return bool(tests[operator]())

    def _shown(self, name: str, row: Record, wanted: list[str], request: Request) -> Record:
        fields = {**COMMON, **self.fields[name]}
        chosen = {field: row.get(field) for field in (wanted or fields)}
        if self.empty_fields == "absent":
            chosen = {field: value for field, value in chosen.items() if value is not None}
        for field in list(chosen):
            kind = fields[field][0]
            if kind in {"object_reference", "master_detail"} and chosen[field]:
                chosen[f"{field}__r"] = f"名称 {chosen[field]}"
            if kind == "employee":
                chosen[f"{field}__r"] = {"id": "1000", "name": "张三", "mobile": "13800000000"}
                if self._is_header_style(request) and not request.body.get("convertUserId", False):
                    chosen[field] = [CRM_USER if user == OPEN_USER else user for user in chosen[field] or ()]
        # Fields that nobody asked for come too, as the live system sends them.
        return {**chosen, "_id": row["_id"], "searchAfterId": [row["_id"]], "tenant_id": "7"}


def is_query(api_name: str, *, after: str | None = None) -> Any:
    """Picks the queries of one object; with `after`, only those that follow a first page."""

    def matches(request: Request) -> bool:
        if not request.path.endswith("/data/query"):
            return False
        data = request.body.get("data") or {}
        filters = (data.get("search_query_info") or {}).get("filters", ())
        is_next = any(one["field_name"] == "_id" and one["operator"] == "GT" for one in filters)
        return data.get("dataObjectApiName") == api_name and (after is None or is_next)

    return matches
